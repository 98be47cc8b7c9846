/// Losses on nothing but features: structure of a shared space, composed retrieval, classes, variants of contrast (specs: alignment,
/// 6 to 8).

#include <ATen/TensorOperators.h>

#include "vlm/core/error.h"
#include "vlm/golden/alignment_case.h"
#include "vlm/losses/composed_retrieval.h"
#include "vlm/losses/latent_structure.h"
#include "vlm/losses/pair_contrast.h"
#include "vlm/losses/supervised_contrast.h"
#include "vlm/models/layers/composition.h"
#include "vlm/models/state.h"

namespace vlm::golden {

namespace feature_losses {

Result latent_contrastive(const Case& c) {
  LossInputs in(c);
  const auto loss = latent_contrast(in("image_feat"), in("text_feat"), in("image_feat_aug"), in("text_feat_aug"), in.temperature());
  Result result;
  result.set("out.loss_v2t", loss.v2t);
  result.set("out.loss_t2v", loss.t2v);
  result.set("out.loss_v2v", loss.v2v);
  result.set("out.loss_t2t", loss.t2t);
  in.finish(result, loss.loss());
  return result;
}

Result separation(const Case& c) {
  LossInputs in(c);
  const auto loss = feature_separation(in("image_feat"), in("text_feat"), in("image_ind"), in("text_ind"), in("image_ind_aug"),
                                       in("text_ind_aug"), in.temperature(), c.param("uniformity_t", 2.0));
  Result result;
  result.set("out.loss_ortho", loss.orthogonal);
  result.set("out.loss_con", loss.contrast);
  result.set("out.loss_uni", loss.uniform);
  in.finish(result, loss.loss());
  return result;
}

Result bridge(const Case& c) {
  LossInputs in(c);
  const auto loss = brownian_bridge(in("image_feat"), in("text_feat"), in("image_feat_aug"), c.param("t", 0.25));
  Result result;
  result.set("out.mean", loss.mean);
  result.set("out.row_loss", loss.row_loss);
  in.finish(result, loss.loss());
  return result;
}

Result geometry(const Case& c) {
  LossInputs in(c);
  const auto loss = geometric_consistency(in("image_feat"), in("text_feat"), in("image_feat_aug"), in("text_feat_aug"));
  Result result;
  result.set("out.loss_gc", loss.original);
  result.set("out.loss_gc_aug", loss.augmented);
  in.finish(result, loss.loss());
  return result;
}

Tensor by_cotangent(const Tensor& out, const Tensor& cotangent) { return (out * cotangent).sum() / static_cast<double>(out.numel()); }

Result augment(const Case& c) {
  LossInputs in(c);
  const Tensor out = jitter_features(in("features"), in("noise_alpha"), in("noise_beta"), {c.param("alpha_scale", 1.0), c.param("beta_scale", 1.0)});
  Result result;
  result.set("out.augmented", out);
  in.finish(result, by_cotangent(out, c.in("cotangent")));
  return result;
}

Result uncertainty(const Case& c) {
  LossInputs in(c);
  const double gamma = uncertainty_weight(c.params.at("epoch"), c.params.at("total_epochs"), c.param("gamma_scale", 1.0));
  const auto loss = composed_retrieval_loss(in("ref_features"), in("target_features"), in("augmented_features"), gamma);
  Result result;
  result.set("out.loss_uncertainty", loss.uncertainty);
  result.set("out.loss_info", loss.info);
  result.set("out.gamma", loss.gamma);
  in.finish(result, loss.loss());
  return result;
}

Result compose(const Case& c) {
  const auto config = c.config();
  CompositionOptions options;
  options.feature_size = config.at("feature_size");
  options.text_feature_size = config.at("text_feature_size");
  options.num_heads = config.value("num_heads", c.param("num_heads", options.num_heads));
  const Composition model(options);
  const auto state = module_state(model);
  load_state(state, c.weights(), c.folder.string());
  LossInputs in(c);
  const auto out = model.forward(in("image_map"), in("text_feat"));
  Result result;
  result.set("out.composed", out.composed);
  result.set("out.attention", out.attention);
  in.finish(result, by_cotangent(out.composed, c.in("cotangent")));
  for (const auto& [name, tensor] : state) {
    if (c.wants("grad." + name) && tensor.grad().defined()) result.set("grad." + name, tensor.grad());
  }
  return result;
}

Result supcon(const Case& c) {
  LossInputs in(c);
  const auto mode = c.param<std::string>("contrast_mode", "all");
  if (mode != "all" && mode != "one") fail("contrast_mode is all or one, not '", mode, "'");
  SupervisedContrastOptions options;
  options.temperature = c.param("temperature", options.temperature);
  options.base_temperature = c.param("base_temperature", options.base_temperature);
  options.first_view_anchors = mode == "one";
  Result result;
  in.finish(result, supervised_contrast_loss(in("features"), in("labels"), options));
  return result;
}

Result asymmetric(const Case& c) {
  LossInputs in(c);
  const auto mode = c.param<std::string>("mode", "plain");
  if (mode != "plain" && mode != "weights" && mode != "smooth") fail("mode is plain, weights or smooth, not '", mode, "'");
  AsymmetricContrastOptions options;
  options.temperature = c.param("temperature", options.temperature);
  Result result;
  in.finish(result, asymmetric_contrast_loss(in("features"), in("outlier_features"), in("labels"), mode == "weights" ? in("class_weights") : Tensor(),
                                             mode == "smooth" ? in("smoothing") : Tensor(), options));
  return result;
}

Result finished(LossInputs& in, const PairContrast& loss) {
  Result result;
  result.set("out.loss_i2t", loss.i2t);
  result.set("out.loss_t2i", loss.t2i);
  in.finish(result, loss.loss());
  return result;
}

Result decoupled(const Case& c) {
  LossInputs in(c);
  return finished(in, decoupled_contrast(in("image_feat"), in("text_feat"), in.temperature()));
}

Result hard_negative(const Case& c) {
  LossInputs in(c);
  HardNegativeOptions options;
  options.alpha = c.param("alpha", options.alpha);
  options.beta = c.param("beta", options.beta);
  options.detach_weights = c.param("detach_weights", options.detach_weights);
  return finished(in, hard_negative_contrast(in("image_feat"), in("text_feat"), in.temperature(), options));
}

Result debiased(const Case& c) {
  LossInputs in(c);
  return finished(in, debiased_contrast(in("image_feat"), in("text_feat"), in.temperature(), c.param("tau_plus", 0.1)));
}

}  // namespace feature_losses

void add_feature_loss_operations(Operations& operations) {
  operations["latent.contrastive"] = feature_losses::latent_contrastive;
  operations["latent.separation"] = feature_losses::separation;
  operations["latent.brownian_bridge"] = feature_losses::bridge;
  operations["latent.geometric_consistency"] = feature_losses::geometry;
  operations["cir.augment"] = feature_losses::augment;
  operations["cir.uncertainty_loss"] = feature_losses::uncertainty;
  operations["cir.compose"] = feature_losses::compose;
  operations["supcon.loss"] = feature_losses::supcon;
  operations["supcon.asymmetric"] = feature_losses::asymmetric;
  operations["contrastive.decoupled"] = feature_losses::decoupled;
  operations["contrastive.hard_negative"] = feature_losses::hard_negative;
  operations["contrastive.debiased"] = feature_losses::debiased;
}

}  // namespace vlm::golden
