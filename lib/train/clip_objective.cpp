#include "vlm/train/clip_objective.h"

#include <algorithm>

#include "vlm/models/layers/recompute.h"
#include "vlm/train/contrast_over_ranks.h"

namespace vlm {

std::pair<Tensor, Tensor> embed_batch(DualEncoder& encoder, const Batch& batch, int64_t image_chunk, int64_t text_chunk) {
  const auto images = [&encoder](const Tensor& pixels) { return encoder.embed_images(pixels); };
  const auto texts = [&encoder](const Tensor& ids) { return encoder.embed_texts(ids); };
  return {recompute_in_chunks(images, batch.images, image_chunk),  // [B, E]
          recompute_in_chunks(texts, batch.ids, text_chunk)};      // [B, E]
}

ClipObjective::ClipObjective(const ObjectiveContext& context, const ClipObjectiveOptions& options)
    : encoder_(require<DualEncoder>(context.model, "be trained with the objective 'clip'", "it has no two towers")),
      tokenizer_(context.tokenizer),
      communicator_(context.communicator),
      options_(options) {
  if (options_.image_chunk == 0) options_.image_chunk = options_.grad_cache;
  if (options_.text_chunk == 0) options_.text_chunk = options_.grad_cache;
}

void ClipObjective::tokenize(const std::string& text, int64_t* ids) const {
  const auto padded = tokenizer_->encode_padded(text, text_length());
  std::copy(padded.begin(), padded.end(), ids);
}

std::vector<LossTerm> ClipObjective::losses(const Batch& batch) {
  const auto [image, text] = embed_batch(encoder_, batch, options_.image_chunk, options_.text_chunk);
  const Tensor ids = options_.merge_equal_texts ? batch.ids : Tensor();
  const ContrastiveBlockOptions blocks{.block_rows = options_.block_rows, .label_smoothing = options_.label_smoothing};
  const Tensor loss = contrastive_over_ranks(communicator_, image, text, encoder_.logit_scale(), encoder_.logit_bias(), ids, blocks);
  return {{"contrastive", loss, static_cast<double>(batch.size())}};
}

std::vector<std::pair<std::string, double>> ClipObjective::metrics() const {
  return {{"logit_scale", encoder_.logit_scale().item<double>()}};
}

std::unique_ptr<Objective> make_clip_objective(const ObjectiveContext& context, const Config& options) {
  ClipObjectiveOptions parsed;
  options.read(parsed);
  return std::make_unique<ClipObjective>(context, parsed);
}

}  // namespace vlm
