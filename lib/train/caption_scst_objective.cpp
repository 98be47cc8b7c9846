#include "vlm/train/caption_scst_objective.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

#include "vlm/eval/ptb_tokenizer.h"
#include "vlm/infer/mplug_search.h"
#include "vlm/losses/scst.h"
#include "vlm/train/scst_frequency.h"
#include "vlm/train/text_rows.h"

namespace vlm {

namespace caption_scst {

constexpr const char* task = "be trained with the objective 'caption_scst'";

}  // namespace caption_scst

Tensor caption_scores(CaptionTrainable& model, const Tensor& pixels, const std::vector<std::vector<int64_t>>& texts, const std::vector<int64_t>& row,
                      int64_t prompt_length, double length_penalty) {
  if (texts.size() != row.size() || texts.empty()) fail("there are ", texts.size(), " texts of ", row.size(), " pictures");
  const auto device = pixels.device();
  const TextRows rows = pad_rows(texts, model.generation_tokens().pad, device);
  const Tensor labels = labels_of(rows, prompt_length).slice(1, 1);                                            // [N, L - 1]
  const Tensor logits = model.several_caption_logits(pixels, at::tensor(row, at::kLong).to(device), rows.ids, rows.mask);  // [N, L, V]
  const Tensor scored = labels.ne(-100);
  const Tensor each = at::log_softmax(logits.slice(1, 0, -1).to(at::kFloat), 2).gather(2, labels.clamp_min(0).unsqueeze(2)).squeeze(2);
  std::vector<double> penalties;
  for (const auto& text : texts) {
    const auto written = static_cast<double>(static_cast<int64_t>(text.size()) - prompt_length);
    penalties.push_back(std::pow((5 + written) / 6, length_penalty));
  }
  return each.masked_fill(scored.logical_not(), 0).sum(1) / at::tensor(penalties, at::kDouble).to(device, at::kFloat);
}

CaptionScstObjective::CaptionScstObjective(const ObjectiveContext& context, const CaptionScstOptions& options)
    : options_(options),
      captioner_(require<Captioner>(context.model, caption_scst::task, "it has no text decoder that reads a picture alone (OFA's objective is 'ofa_scst')")),
      model_(require<CaptionTrainable>(context.model, caption_scst::task, "it cannot be taught whole captions")),
      tokenizer_(context.tokenizer),
      size_(require<PictureModel>(context.model, caption_scst::task, "it takes no pictures").picture_size()) {
  if (!tokenizer_) fail("the objective 'caption_scst' needs a tokenizer (model.tokenizer)");
  const UsualSearch usual = captioner_.usual_caption_search();
  const GenerationTokens tokens = captioner_.generation_tokens();
  if (options_.beams == 0) options_.beams = usual.beams;
  if (options_.min_new_tokens == -1) options_.min_new_tokens = usual.min_new_tokens;
  if (options_.max_new_tokens == 0) options_.max_new_tokens = usual.max_new_tokens;
  if (options_.beams < 2) fail_usage("objective.options.beams must be at least 2, and is ", options_.beams, ": a caption is held against the others of its picture");
  prompt_ = tokenizer_->encode(options_.prompt);
  prompt_.insert(prompt_.begin(), tokens.begin);
  options_.max_new_tokens = std::min(options_.max_new_tokens, tokens.max_length - static_cast<int64_t>(prompt_.size()));
  if (options_.max_new_tokens < 1 || options_.min_new_tokens < 0) {
    fail_usage("objective.options.max_new_tokens must leave room for an id behind the prompt's ", prompt_.size(), ", and min_new_tokens not be negative");
  }
  frequency_ = scst_frequency(options_.document_frequency, CaptionSentences::metric);
}

std::vector<std::vector<int64_t>> CaptionScstObjective::describe(const Tensor& pictures) {
  const at::NoGradGuard no_grad;
  GenerateOptions search;
  search.rules = "mplug";
  search.beams = options_.beams;
  search.min_new_tokens = options_.min_new_tokens;
  search.length_penalty = options_.length_penalty;
  const auto state = captioner_.begin_caption(pictures);
  const Tensor prompt = at::tensor(prompt_, at::kLong).unsqueeze(0).repeat({pictures.size(0), 1}).to(pictures.device());
  std::vector<std::vector<int64_t>> out;
  for (auto& hypotheses : mplug_search(*state, prompt, {}, captioner_.generation_tokens(), search, options_.max_new_tokens, options_.beams)) {
    for (auto& hypothesis : hypotheses) out.push_back(std::move(hypothesis.ids));
  }
  if (static_cast<int64_t>(out.size()) != pictures.size(0) * options_.beams) fail("the search for captions found too few of them");
  return out;
}

std::string CaptionScstObjective::text_of(const std::vector<int64_t>& ids) const {
  const GenerationTokens tokens = captioner_.generation_tokens();
  std::vector<int64_t> words;
  for (size_t i = prompt_.size(); i < ids.size(); ++i) {
    if (ids[i] != tokens.begin && ids[i] != tokens.end && ids[i] != tokens.pad) words.push_back(ids[i]);
  }
  return tokenizer_->caption_of(words);
}

std::vector<LossTerm> CaptionScstObjective::losses(const Batch& batch) {
  const auto written = describe(batch.images);
  const int64_t pictures = batch.images.size(0), beams = options_.beams;
  std::vector<CaptionItem> items;
  std::vector<int64_t> row, lengths;
  for (size_t n = 0; n < written.size(); ++n) {
    const auto picture = static_cast<int64_t>(n) / beams;
    row.push_back(picture);
    lengths.push_back(static_cast<int64_t>(written[n].size()));
    CaptionItem item{std::to_string(n), caption_tokens(text_of(written[n])), {}};
    for (const auto& reference : batch.samples[static_cast<size_t>(picture)].captions) item.references.push_back(caption_tokens(reference));
    items.push_back(std::move(item));
  }
  const std::vector<double> rewards = cider(items, {}, frequency_ ? &*frequency_ : nullptr).per_item;
  reward_ = 0;
  for (const double reward : rewards) reward_ += reward / static_cast<double>(rewards.size());
  const Tensor scores = caption_scores(model_, batch.images, written, row, static_cast<int64_t>(prompt_.size()), options_.length_penalty).view({pictures, beams});
  const Tensor loss = scst_beam_loss(scores, at::tensor(lengths, at::kLong).view({pictures, beams}).to(scores.device()),
                                     at::tensor(rewards, at::kDouble).view({pictures, beams}).to(scores.device()));
  return {{"scst", loss, static_cast<double>(written.size())}};
}

std::unique_ptr<Objective> make_caption_scst_objective(const ObjectiveContext& context, const Config& options) {
  CaptionScstOptions parsed;
  options.read(parsed);
  return std::make_unique<CaptionScstObjective>(context, parsed);
}

}  // namespace vlm
