#include "vlm/train/clip_objective.h"

#include <ATen/ops/tensor.h>

#include <map>

#include "vlm/core/strings.h"
#include "vlm/losses/contrastive.h"

namespace vlm {

namespace clip_objective {

/// Rows with the same ids get the same number.
Tensor groups_of(const Tensor& ids) {
  const Tensor rows = ids.contiguous();
  const int64_t length = rows.size(1);
  std::map<std::vector<int64_t>, int64_t> seen;
  std::vector<int64_t> groups;
  for (int64_t i = 0; i < rows.size(0); ++i) {
    const int64_t* row = rows.const_data_ptr<int64_t>() + i * length;
    groups.push_back(seen.emplace(std::vector<int64_t>(row, row + length), static_cast<int64_t>(seen.size())).first->second);
  }
  return at::tensor(groups, at::kLong);
}

}  // namespace clip_objective

ClipObjective::ClipObjective(const ObjectiveContext& context, const ClipObjectiveOptions& options)
    : encoder_(require<DualEncoder>(context.model, "be trained with the objective 'clip'", "it has no two towers")),
      tokenizer_(context.tokenizer),
      communicator_(context.communicator),
      options_(options) {}

void ClipObjective::tokenize(const std::string& text, int64_t* ids) const {
  const auto padded = tokenizer_->encode_padded(text, text_length());
  std::copy(padded.begin(), padded.end(), ids);
}

std::vector<LossTerm> ClipObjective::losses(const Batch& batch) {
  const Tensor image = encoder_.embed_images(batch.images);  // [B, E]
  const Tensor text = encoder_.embed_texts(batch.ids);       // [B, E]
  const Tensor groups = options_.merge_equal_texts ? clip_objective::groups_of(batch.ids) : Tensor();
  const Tensor loss = contrastive_loss(image, text, encoder_.logit_scale(), encoder_.logit_bias(), groups);
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
