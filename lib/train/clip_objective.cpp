#include "vlm/train/clip_objective.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/randint.h>

#include <algorithm>
#include <array>
#include <limits>

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
      options_(options),
      terms_(options.terms, {"image", "text", "image_aug", "text_aug"}, concat("a ", context.model.family(), " model with the objective 'clip'")) {
  if (options_.contrastive_weight == 0 && terms_.empty()) fail_usage("objective.options.contrastive_weight is 0, and there are no terms: nothing is learnt");
  if (options_.image_chunk == 0) options_.image_chunk = options_.grad_cache;
  if (options_.text_chunk == 0) options_.text_chunk = options_.grad_cache;
}

void ClipObjective::tokenize(const std::string& text, int64_t* ids) const {
  const auto padded = tokenizer_->encode_padded(text, text_length());
  std::copy(padded.begin(), padded.end(), ids);
}

std::vector<LossTerm> ClipObjective::losses(const Batch& batch) {
  const auto [image, text] = embed_batch(encoder_, batch, options_.image_chunk, options_.text_chunk);
  const auto rows = static_cast<double>(batch.size());
  std::vector<LossTerm> out;
  if (options_.contrastive_weight != 0) {
    const Tensor ids = options_.merge_equal_texts ? batch.ids : Tensor();
    const ContrastiveBlockOptions blocks{.block_rows = options_.block_rows, .label_smoothing = options_.label_smoothing};
    const Tensor loss = contrastive_over_ranks(communicator_, image, text, encoder_.logit_scale(), encoder_.logit_bias(), ids, blocks);
    out.push_back({"contrastive", options_.contrastive_weight == 1 ? loss : loss * options_.contrastive_weight, rows});
  }
  if (terms_.empty()) return out;
  std::map<std::string, Tensor> features = {{"image", image}, {"text", text}};
  if (terms_.need("image_aug") || terms_.need("text_aug")) {
    // Out of the stream that a step seeds on each rank, so that a run that goes on draws the same.
    const std::array<int64_t, 1> one{1};
    SplitMix64 random(static_cast<uint64_t>(at::randint(std::numeric_limits<int64_t>::max(), one, at::kLong).item<int64_t>()));
    if (terms_.need("image_aug")) {
      const Tensor pictures = second_pictures(batch.images, options_.second_view, random);
      features["image_aug"] = recompute_in_chunks([this](const Tensor& x) { return encoder_.embed_images(x); }, pictures, options_.image_chunk);
    }
    if (terms_.need("text_aug")) {
      const Tensor ids = second_texts(batch, options_.second_view, [this](const std::string& words, int64_t* row) { tokenize(words, row); }, random);
      features["text_aug"] = recompute_in_chunks([this](const Tensor& x) { return encoder_.embed_texts(x); }, ids, options_.text_chunk);
    }
  }
  for (auto& term : terms_.losses(communicator_, features, 1 / encoder_.logit_scale(), batch.ids)) out.push_back(std::move(term));
  return out;
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
