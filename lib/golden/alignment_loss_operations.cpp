/// Losses of fusion models and their queues (specs: alignment, 2 and 5; mplug, 2).

#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>

#include "vlm/core/error.h"
#include "vlm/golden/alignment_case.h"
#include "vlm/losses/codebook.h"
#include "vlm/losses/image_text_contrast.h"
#include "vlm/losses/image_text_matching.h"
#include "vlm/losses/language_modeling.h"
#include "vlm/losses/local_mutual_information.h"
#include "vlm/losses/masked_language_modeling.h"
#include "vlm/losses/scst.h"
#include "vlm/losses/token_masking.h"
#include "vlm/train/feature_queue.h"
#include "vlm/train/momentum.h"

namespace vlm::golden {

namespace alignment_losses {

QueueContrastFeatures features(LossInputs& in) {
  return {in("image_feat"), in("text_feat"), in("image_feat_m"), in("text_feat_m"), in("image_queue"), in("text_queue")};
}

Tensor hard_targets(LossInputs& in) {
  const Tensor queue = in("image_queue"), image = in("image_feat");
  return contrast_targets(in("idx"), in("idx_queue"), image.size(0), queue.defined() ? queue.size(1) : 0, image.device());
}

Result itc(const Case& c) {
  LossInputs in(c);
  const auto contrast = image_text_contrast(features(in), in.temperature(), hard_targets(in), c.param("alpha", 0.0));
  Result result;
  result.set("out.loss_i2t", contrast.i2t.loss);
  result.set("out.loss_t2i", contrast.t2i.loss);
  result.set("out.sim_i2t", contrast.i2t.similarity);
  result.set("out.sim_t2i", contrast.t2i.similarity);
  result.set("out.targets_i2t", contrast.i2t.targets);
  result.set("out.targets_t2i", contrast.t2i.targets);
  in.finish(result, contrast.loss());
  return result;
}

Result imc(const Case& c) {
  LossInputs in(c);
  const auto contrast = intra_modal_contrast(features(in), in.temperature(), hard_targets(in), c.param("alpha", 0.0));
  Result result;
  result.set("out.loss_i2i", contrast.i2i.loss);
  result.set("out.loss_t2t", contrast.t2t.loss);
  in.finish(result, contrast.loss());
  return result;
}

Result ica(const Case& c) {
  LossInputs in(c);
  const Tensor hard = hard_targets(in);
  const double alpha = c.param("alpha", 0.0);
  const auto across = image_text_contrast(features(in), in.temperature(), hard, alpha);
  const auto within = intra_modal_contrast(features(in), in.temperature(), hard, alpha);
  Result result;
  result.set("out.loss_i2t", across.i2t.loss);
  result.set("out.loss_t2i", across.t2i.loss);
  result.set("out.loss_i2i", within.i2i.loss);
  result.set("out.loss_t2t", within.t2t.loss);
  in.finish(result, (across.loss() + within.loss()) / 2);
  return result;
}

Result lmi(const Case& c) {
  LossInputs in(c);
  const Tensor pooled = pool_local_features(in("image_local"), local_pooling_named(c.param<std::string>("pooling", "sqrt")));
  const Tensor image = local_mutual_information(pooled, in("image_feat"), in.temperature());
  const Tensor text = local_mutual_information(in("text_local"), in("text_feat"), in.temperature(), in("text_local_mask"));
  Result result;
  result.set("out.pooled", pooled);
  result.set("out.loss_image", image);
  result.set("out.loss_text", text);
  in.finish(result, (image + text) / 2);
  return result;
}

Result itm_negatives(const Case& c) {
  const auto mask = c.param<std::string>("mask", "diagonal");
  if (mask != "diagonal" && mask != "idx") fail("mask is diagonal or idx, not '", mask, "'");
  const auto negatives = matching_negatives(c.in("sim_i2t"), c.in("sim_t2i"), c.in("uniform_image"), c.in("uniform_text"),
                                            mask == "idx" ? c.in("idx") : Tensor());
  Result result;
  result.set("out.weights_i2t", negatives.weights_i2t);
  result.set("out.weights_t2i", negatives.weights_t2i);
  result.set("out.negative_image_index", negatives.image);
  result.set("out.negative_text_index", negatives.text);
  return result;
}

Result mlm_distill(const Case& c) {
  LossInputs in(c);
  MaskedLanguageModelingOptions options;
  options.alpha = c.param("alpha", 0.0);
  Result result;
  in.finish(result, masked_language_modeling_loss(in("logits"), in("labels"), in("logits_m"), options));
  return result;
}

Result lm_distill(const Case& c) {
  LossInputs in(c);
  const Tensor rows = next_token_row_losses(in("logits"), in("labels"), in("logits_m"), c.param("alpha", 0.0));
  Result result;
  result.set("out.row_loss", rows);
  in.finish(result, rows.sum());
  return result;
}

/// The two families call draws and ids by different names.
Result mlm_mask(const Case& c, const char* select, const char* replace, const char* randomise, const char* words, const char* suffix) {
  const auto id = [&](const char* name) { return c.params.at(std::string(name) + suffix).get<int64_t>(); };
  const TokenMaskDraws draws{c.in(select), c.in(replace), c.in(randomise), c.in(words)};
  const auto masked = mask_tokens(c.in("input_ids"), draws, {.mask_id = id("mask"), .exclude = {id("pad"), id("cls")}});
  Result result;
  result.set("out.input_ids", masked.input_ids);
  result.set("out.labels", masked.labels);
  return result;
}

Result albef_mlm_mask(const Case& c) { return mlm_mask(c, "select", "replace", "randomise", "random_words", "_id"); }
Result mplug_mlm_mask(const Case& c) { return mlm_mask(c, "mask_draw", "replace_draw", "random_draw", "random_ids", "_token_id"); }

Result mplug_scst(const Case& c) {
  LossInputs in(c);
  Result result;
  in.finish(result, scst_beam_loss(in("scores"), in("lengths"), in("rewards")));
  return result;
}

Result queue_update(const Case& c) {
  FeatureQueues queues{c.in("image_queue").clone(), c.in("text_queue").clone(), {}, at::tensor({c.params.at("ptr").get<int64_t>()}, at::kLong)};
  const bool numbered = c.has_in("idx");
  if (numbered) queues.idx = c.in("idx_queue").clone();
  for (int64_t step = 0; step < c.in("image_feat").size(0); ++step) {
    enqueue_features(queues, c.in("image_feat")[step], c.in("text_feat")[step], numbered ? c.in("idx")[step] : Tensor());
  }
  Result result;
  result.set("out.image_queue", queues.image);
  result.set("out.text_queue", queues.text);
  if (numbered) result.set("out.idx_queue", queues.idx);
  result.set("out.ptr", queues.pointer);
  return result;
}

Result momentum(const Case& c) {
  const std::vector<MomentumPair> pairs = {{c.in("weight"), c.in("weight_m").clone()}, {c.in("bias"), c.in("bias_m").clone()}};
  for (int64_t step = 0; step < c.param("steps", int64_t(1)); ++step) momentum_update(pairs, c.params.at("momentum"));
  Result result;
  result.set("out.weight_m", pairs[0].momentum);
  result.set("out.bias_m", pairs[1].momentum);
  return result;
}

CodebookOptions codebook_options(const Case& c) {
  CodebookOptions options;
  options.algorithm = c.param("algorithm", options.algorithm);
  options.beta = c.param("beta", options.beta);
  options.iterations = c.param("iterations", options.iterations);
  options.inner = c.param("inner", options.inner);
  options.epsilon = c.param("epsilon", options.epsilon);
  options.sinkhorn_iterations = c.param("iterations", options.sinkhorn_iterations);
  return options;
}

Result ot_assign(const Case& c) {
  const Tensor cost = codebook_cost(c.in("features"), c.in("codebook"));
  const Tensor plan = codebook_assignment(cost, codebook_options(c));
  Result result;
  result.set("out.cost", cost);
  result.set("out.plan", plan);
  result.set("out.row_sum", plan.sum(1));
  result.set("out.column_sum", plan.sum(0));
  return result;
}

Result codis_loss(const Case& c) {
  LossInputs in(c);
  const auto loss = codebook_loss(in("image_feat"), in("text_feat"), in("image_feat_m"), in("text_feat_m"), in("codebook"), in.temperature(),
                                  codebook_options(c));
  Result result;
  result.set("out.plan_image", loss.plan_image);
  result.set("out.plan_text", loss.plan_text);
  result.set("out.loss_ot", loss.transport);
  result.set("out.loss_t2p", loss.text_to_plan);
  result.set("out.loss_i2p", loss.image_to_plan);
  in.finish(result, loss.loss());
  return result;
}

}  // namespace alignment_losses

void add_alignment_loss_operations(Operations& operations) {
  operations["albef.itc"] = alignment_losses::itc;
  operations["tcl.imc"] = alignment_losses::imc;
  operations["codis.ica"] = alignment_losses::ica;
  operations["tcl.lmi"] = alignment_losses::lmi;
  operations["albef.itm_negatives"] = alignment_losses::itm_negatives;
  operations["albef.mlm_distill"] = alignment_losses::mlm_distill;
  operations["albef.lm_distill"] = alignment_losses::lm_distill;
  operations["albef.mlm_mask"] = alignment_losses::albef_mlm_mask;
  operations["mplug.mlm_mask"] = alignment_losses::mplug_mlm_mask;
  operations["mplug.scst_loss"] = alignment_losses::mplug_scst;
  operations["queue.update"] = alignment_losses::queue_update;
  operations["momentum.update"] = alignment_losses::momentum;
  operations["codis.ot_assign"] = alignment_losses::ot_assign;
  operations["codis.loss"] = alignment_losses::codis_loss;
}

}  // namespace vlm::golden
