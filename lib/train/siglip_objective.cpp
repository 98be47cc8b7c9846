#include "vlm/train/siglip_objective.h"

#include "vlm/train/contrast_over_ranks.h"

namespace vlm {

SiglipObjective::SiglipObjective(const ObjectiveContext& context, const SiglipObjectiveOptions& options)
    : TwoTowerObjective(context, "siglip", options), options_(options) {
  if (!encoder_.logit_bias().defined()) {
    fail_usage("the objective 'siglip' needs a model with a bias of the logits: model.family siglip, or model.config.init_logit_bias: -10 "
               "with init_logit_scale: 2.302585");
  }
  if (options_.exchange != "ring" && options_.exchange != "gather") {
    fail_usage("objective.options.exchange is ring or gather, not '", options_.exchange, "'");
  }
}

std::vector<LossTerm> SiglipObjective::losses(const Batch& batch) {
  const Features features = embed(batch);
  const Tensor loss = sigmoid_over_ranks(communicator_, features.at("image"), features.at("text"), encoder_.logit_scale(),
                                         encoder_.logit_bias(), options_.exchange, {.chunk_rows = options_.chunk_rows});
  std::vector<LossTerm> out = {{"sigmoid", loss, static_cast<double>(batch.size())}};
  add_terms(batch, features, out);
  return out;
}

std::vector<std::pair<std::string, double>> SiglipObjective::metrics() const {
  return {{"logit_scale", encoder_.logit_scale().item<double>()}, {"logit_bias", encoder_.logit_bias().item<double>()}};
}

std::unique_ptr<Objective> make_siglip_objective(const ObjectiveContext& context, const Config& options) {
  SiglipObjectiveOptions parsed;
  options.read(parsed);
  return std::make_unique<SiglipObjective>(context, parsed);
}

}  // namespace vlm
