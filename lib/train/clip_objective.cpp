#include "vlm/train/clip_objective.h"

#include <ATen/TensorOperators.h>

#include "vlm/train/contrast_over_ranks.h"

namespace vlm {

ClipObjective::ClipObjective(const ObjectiveContext& context, const ClipObjectiveOptions& options)
    : TwoTowerObjective(context, "clip", options), options_(options) {
  if (options_.contrastive_weight == 0 && !has_terms()) {
    fail_usage("objective.options.contrastive_weight is 0, and there are no terms: nothing is learnt");
  }
}

std::vector<LossTerm> ClipObjective::losses(const Batch& batch) {
  const Features features = embed(batch);
  std::vector<LossTerm> out;
  if (options_.contrastive_weight != 0) {
    const Tensor ids = options_.merge_equal_texts ? batch.ids : Tensor();
    const ContrastiveBlockOptions blocks{.block_rows = options_.block_rows, .label_smoothing = options_.label_smoothing};
    const Tensor loss = contrastive_over_ranks(communicator_, features.at("image"), features.at("text"), encoder_.logit_scale(),
                                               encoder_.logit_bias(), ids, blocks);
    const double weight = options_.contrastive_weight;
    out.push_back({"contrastive", weight == 1 ? loss : loss * weight, static_cast<double>(batch.size())});
  }
  add_terms(batch, features, out);
  return out;
}

std::unique_ptr<Objective> make_clip_objective(const ObjectiveContext& context, const Config& options) {
  ClipObjectiveOptions parsed;
  options.read(parsed);
  return std::make_unique<ClipObjective>(context, parsed);
}

}  // namespace vlm
