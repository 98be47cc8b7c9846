#include "vlm/train/siglip_objective.h"

#include <algorithm>

#include "vlm/train/clip_objective.h"
#include "vlm/train/contrast_over_ranks.h"

namespace vlm {

SiglipObjective::SiglipObjective(const ObjectiveContext& context, const SiglipObjectiveOptions& options)
    : encoder_(require<DualEncoder>(context.model, "be trained with the objective 'siglip'", "it has no two towers")),
      tokenizer_(context.tokenizer),
      communicator_(context.communicator),
      options_(options) {
  if (!encoder_.logit_bias().defined()) {
    fail_usage("the objective 'siglip' needs a model with a bias of the logits: model.family siglip, or model.config.init_logit_bias: -10 "
               "with init_logit_scale: 2.302585");
  }
  if (options_.exchange != "ring" && options_.exchange != "gather") {
    fail_usage("objective.options.exchange is ring or gather, not '", options_.exchange, "'");
  }
  if (options_.image_chunk == 0) options_.image_chunk = options_.grad_cache;
  if (options_.text_chunk == 0) options_.text_chunk = options_.grad_cache;
}

void SiglipObjective::tokenize(const std::string& text, int64_t* ids) const {
  const auto padded = tokenizer_->encode_padded(text, text_length());
  std::copy(padded.begin(), padded.end(), ids);
}

std::vector<LossTerm> SiglipObjective::losses(const Batch& batch) {
  const auto [image, text] = embed_batch(encoder_, batch, options_.image_chunk, options_.text_chunk);
  const Tensor loss = sigmoid_over_ranks(communicator_, image, text, encoder_.logit_scale(), encoder_.logit_bias(), options_.exchange,
                                         {.chunk_rows = options_.chunk_rows});
  return {{"sigmoid", loss, static_cast<double>(batch.size())}};
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
