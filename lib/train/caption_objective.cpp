#include "vlm/train/caption_objective.h"

#include <algorithm>

#include "vlm/losses/language_modeling.h"
#include "vlm/train/text_rows.h"

namespace vlm {

CaptionObjective::CaptionObjective(const ObjectiveContext& context, const CaptionObjectiveOptions& options)
    : writer_(require<CaptionTrainable>(context.model, "be trained with the objective 'caption'", "it has no text decoder that reads a picture alone")),
      tokenizer_(context.tokenizer),
      options_(options),
      size_(require<PictureModel>(context.model, "be trained with the objective 'caption'", "it takes no pictures").picture_size()) {
  if (!tokenizer_) fail("the objective 'caption' needs a tokenizer");
  options_.max_length = std::min(options_.max_length, writer_.generation_tokens().max_length);
  prompt_length_ = 1 + static_cast<int64_t>(tokenizer_->encode(options_.prompt).size());
  if (options_.max_length < prompt_length_ + 1) {
    fail_usage("objective.options.max_length must leave room for the prompt's ", prompt_length_, " ids and at least one more, not ",
               options_.max_length);
  }
}

std::vector<LossTerm> CaptionObjective::losses(const Batch& batch) {
  const GenerationTokens tokens = writer_.generation_tokens();
  std::vector<std::vector<int64_t>> texts;
  for (const auto& text : batch.texts) texts.push_back(taught_ids(*tokenizer_, options_.prompt + text, tokens, options_.max_length));
  const TextRows rows = pad_rows(texts, tokens.pad, batch.images.device());
  const Tensor labels = labels_of(rows, prompt_length_);                                    // [B, L]
  const Tensor logits = writer_.caption_logits(batch.images, rows.ids, rows.mask);          // [B, L, V]
  const Tensor loss = next_token_loss(logits, labels, -100, options_.label_smoothing);
  return {{"caption", loss, static_cast<double>(labels.slice(1, 1).ne(-100).sum().item<int64_t>())}};
}

std::unique_ptr<Objective> make_caption_objective(const ObjectiveContext& context, const Config& options) {
  CaptionObjectiveOptions parsed;
  options.read(parsed);
  return std::make_unique<CaptionObjective>(context, parsed);
}

}  // namespace vlm
