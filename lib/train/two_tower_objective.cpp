#include "vlm/train/two_tower_objective.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/randint.h>

#include <algorithm>
#include <array>
#include <limits>

#include "vlm/models/layers/recompute.h"

namespace vlm {

namespace two_tower_objective {

/// Null: the model has no features of that kind.
IndependentFeatures* own_features(Model& model) {
  auto* own = dynamic_cast<IndependentFeatures*>(&model);
  return own && own->has_independent_features() ? own : nullptr;
}

std::set<std::string> provided(bool own) {
  std::set<std::string> out = {"image", "text", "image_aug", "text_aug"};
  if (own) out.insert({"image_ind", "text_ind", "image_ind_aug", "text_ind_aug"});
  return out;
}

}  // namespace two_tower_objective

TwoTowerObjective::TwoTowerObjective(const ObjectiveContext& context, const std::string& name, const TwoTowerOptions& options)
    : encoder_(require<DualEncoder>(context.model, concat("be trained with the objective '", name, "'"), "it has no two towers")),
      communicator_(context.communicator),
      tokenizer_(context.tokenizer),
      shared_(options),
      own_(two_tower_objective::own_features(context.model)),
      terms_(options.terms, two_tower_objective::provided(own_ != nullptr),
             concat("a ", context.model.family(), " model with the objective '", name, "'")) {
  if (shared_.image_chunk == 0) shared_.image_chunk = shared_.grad_cache;
  if (shared_.text_chunk == 0) shared_.text_chunk = shared_.grad_cache;
}

void TwoTowerObjective::tokenize(const std::string& text, int64_t* ids) const {
  const auto padded = tokenizer_->encode_padded(text, text_length());
  std::copy(padded.begin(), padded.end(), ids);
}

TwoTowerObjective::Features TwoTowerObjective::embed(const Batch& batch) const {
  Features out;
  embed(Modality::image, "", batch.images, out);
  embed(Modality::text, "", batch.ids, out);
  return out;
}

void TwoTowerObjective::embed(Modality modality, const std::string& view, const Tensor& rows, Features& into) const {
  const bool image = modality == Modality::image;
  const std::string name = image ? "image" : "text";
  const int64_t chunk = image ? shared_.image_chunk : shared_.text_chunk;
  if (!terms_.need(name + "_ind" + view)) {
    const auto tower = [&encoder = encoder_, image](const Tensor& x) { return image ? encoder.embed_images(x) : encoder.embed_texts(x); };
    into[name + view] = recompute_in_chunks(tower, rows, chunk);  // [B, E]
    return;
  }
  // Side by side, since what is computed in chunks gives one tensor.
  const auto tower = [own = own_, image](const Tensor& x) {
    const auto both = image ? own->embed_images_with_own(x) : own->embed_texts_with_own(x);
    return at::cat({both.first, both.second}, 1);
  };
  const auto halves = recompute_in_chunks(tower, rows, chunk).chunk(2, 1);  // [B, 2 E]
  into[name + view] = halves[0].contiguous();
  into[name + "_ind" + view] = halves[1].contiguous();
}

void TwoTowerObjective::add_terms(const Batch& batch, Features features, std::vector<LossTerm>& losses) const {
  if (terms_.empty()) return;
  const bool images = terms_.need("image_aug") || terms_.need("image_ind_aug");
  const bool texts = terms_.need("text_aug") || terms_.need("text_ind_aug");
  if (images || texts) {
    // Out of the stream that a step seeds on each rank, so that a run that goes on draws the same.
    const std::array<int64_t, 1> one{1};
    SplitMix64 random(static_cast<uint64_t>(at::randint(std::numeric_limits<int64_t>::max(), one, at::kLong).item<int64_t>()));
    if (images) embed(Modality::image, "_aug", second_pictures(batch.images, shared_.second_view, random), features);
    if (texts) {
      const auto write = [this](const std::string& words, int64_t* row) { tokenize(words, row); };
      embed(Modality::text, "_aug", second_texts(batch, shared_.second_view, write, random), features);
    }
  }
  for (auto& term : terms_.losses(communicator_, features, 1 / encoder_.logit_scale(), batch.ids)) losses.push_back(std::move(term));
}

}  // namespace vlm
