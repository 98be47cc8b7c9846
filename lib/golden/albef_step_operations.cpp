/// Steps of training and what trained models do (specs: alignment, 2 and 3).

#include <ATen/TensorOperators.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/repeat_interleave.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/InferenceMode.h>

#include "vlm/golden/albef_case.h"
#include "vlm/infer/answer_ranking.h"
#include "vlm/infer/grad_cam.h"
#include "vlm/infer/rerank.h"
#include "vlm/train/task_step.h"
#include "vlm/train/alignment_step.h"

namespace vlm::golden {

namespace albef_step {

Tensor given(const Case& c, const char* name) { return c.has_in(name) ? c.in(name) : Tensor(); }

/// A step of a model that aligns; `fine_tuning`: as retrieval does it.
Result align(const Case& c, AlignmentMethod method, bool fine_tuning) {
  const auto model = albef_model_of<AlbefAligner>(c, fine_tuning ? AlbefTask::retrieval : AlbefTask::pretrain);
  AlignmentBatch batch;
  batch.image = c.in("image");
  batch.image_aug = given(c, "image_aug");
  batch.ids = c.in("input_ids");
  batch.mask = c.in("attention_mask");
  batch.idx = given(c, "idx");
  batch.masked_ids = given(c, "mlm_input_ids");
  batch.mlm_labels = given(c, "mlm_labels");
  batch.negative_image = c.in("negative_image_index");
  batch.negative_text = c.in("negative_text_index");
  AlignmentOptions options;
  options.method = method;
  options.alpha = c.param("distill", true) ? c.param("alpha", 0.4) : 0;
  options.momentum = c.param("momentum", c.config().value("momentum", 0.995));
  options.pooling = fine_tuning ? LocalPooling::fixed16 : LocalPooling::sqrt;
  options.clamp_temperature = !fine_tuning;
  const AlignmentStep step = alignment_step(*model, batch, options);
  const Tensor loss = step.total();
  loss.backward();
  Result result;
  for (const auto& [name, value] : step.losses) result.set("out.loss_" + name, value);
  for (const auto& [name, value] : step.parts) result.set("out.loss_" + name, value);
  result.set("out.loss", loss);
  result.set("out.image_feat", step.features.image);
  result.set("out.text_feat", step.features.text);
  result.set("out.image_feat_m", step.features.image_m);
  result.set("out.text_feat_m", step.features.text_m);
  result.set("out.sim_targets", step.targets);
  result.set("out.itm_logits", step.match_logits);
  result.set("out.weights_i2t", step.negatives.weights_i2t);
  result.set("out.weights_t2i", step.negatives.weights_t2i);
  set_model_results(result, c, model->state());
  return result;
}

Result albef_pretrain(const Case& c) { return align(c, AlignmentMethod::albef, false); }
Result tcl_pretrain(const Case& c) { return align(c, AlignmentMethod::tcl, false); }
Result albef_retrieval(const Case& c) { return align(c, AlignmentMethod::albef, true); }
Result tcl_retrieval(const Case& c) { return align(c, AlignmentMethod::tcl, true); }

Result itm(const Case& c) {
  const auto model = albef_model_of<AlbefAligner>(c, AlbefTask::retrieval, {"visual_encoder.", "vision_proj.", "text_proj.", "temp"});
  const Tensor text = wanted_leaf(c, "text_embeds"), image = wanted_leaf(c, "image_embeds");
  const Tensor logits = matching_logits(*model, text, c.in("attention_mask"), model->online().text_encoder->project(image), c.in("negative_image_index"), c.in("negative_text_index"));
  const Tensor loss = matching_loss(logits);
  loss.backward();
  Result result;
  result.set("out.logits", logits);
  result.set("out.loss", loss);
  set_model_results(result, c, model->state(), {{"text_embeds", text}, {"image_embeds", image}});
  return result;
}

TaskStepOptions task_options(const Case& c, const AlbefModel& model) {
  const bool taught = model.has_momentum() && c.param("distill", true);
  return {.alpha = taught ? c.param("alpha", 0.4) : 0, .momentum = c.param("momentum", 0.995)};
}

Result finish(const Case& c, const TaskStep& step, const AlbefModel& model) {
  step.loss.backward();
  Result result;
  result.set("out.loss", step.loss);
  result.set("out.logits", step.logits);
  set_model_results(result, c, model.state());
  return result;
}

Result vqa_loss(const Case& c) {
  const auto model = albef_model_of<AlbefAnswerer>(c, AlbefTask::vqa);
  const Tensor counts = c.in("n_answers");
  AnswerBatch batch;
  batch.pixels = c.in("image");
  batch.question = c.in("question_ids");
  batch.question_mask = c.in("question_mask");
  batch.row = at::repeat_interleave(counts);
  batch.answer = c.in("answer_ids");
  batch.answer_mask = c.in("answer_mask");
  return finish(c, answer_step(*model, model.get(), batch, c.in("weights"), task_options(c, *model)), *model);
}

Result vqa_rank(const Case& c) {
  const auto model = albef_model_of<AlbefAnswerer>(c, AlbefTask::vqa);
  const c10::InferenceMode inference;
  const auto [states, mask] = model->read_question(c.in("image"), c.in("question_ids"), c.in("question_mask"));
  const auto ranked = rank_answers(*model, states, mask, c.in("answer_ids"), c.in("answer_mask"), {.k = c.param("k_test", int64_t(128))});
  Result result;
  result.set("out.topk_ids", ranked.ids);
  result.set("out.topk_probs", ranked.probabilities);
  return result;
}

Result classify(const Case& c, AlbefTask task) {
  const auto model = albef_model_of<AlbefClassifier>(c, task);
  const Tensor image = c.in("image"), ids = c.in("input_ids"), mask = c.in("attention_mask");
  return finish(c, classify_step(*model, model.get(), image, ids, mask, c.in("labels"), task_options(c, *model)), *model);
}

Result ve_logits(const Case& c) { return classify(c, AlbefTask::entailment); }
Result nlvr_logits(const Case& c) { return classify(c, AlbefTask::nlvr); }

Result text_assignment(const Case& c) {
  const auto model = albef_model_of<AlbefTextAssigner>(c, AlbefTask::text_assignment);
  const Tensor image = c.in("image");
  const auto step = assign_step(*model, model->encode_image(image), c.in("input_ids"), c.in("attention_mask"), c.in("first_image_index"), c.in("second_image_index"), c.in("labels"));
  Result result = finish(c, step, *model);
  result.set("out.weights", picture_pair_weights(model->online().project_image(model->encode_image(image))));
  return result;
}

Result retrieval_rerank(const Case& c) {
  const auto model = albef_model_of<AlbefAligner>(c, AlbefTask::retrieval);
  const c10::InferenceMode inference;
  const Tensor mask = c.in("attention_mask");
  const Tensor pictures = model->match_pictures(c.in("image")), texts = model->match_texts(c.in("input_ids"), mask);
  const Tensor sims = at::matmul(model->online().project_image(pictures), model->online().project_text(texts).t());
  const RerankOptions options{.k = c.param("k_test", int64_t(128)), .chunk = 5, .add_similarity = c.param("add_sim", false)};
  Result result;
  result.set("out.sims", sims);
  result.set("out.score_i2t", rerank(*model, pictures, texts, mask, sims, RerankRows::pictures, options));
  result.set("out.score_t2i", rerank(*model, pictures, texts, mask, sims.t(), RerankRows::texts, options));
  return result;
}

Result gradcam(const Case& c) {
  const auto model = albef_model_of<AlbefAligner>(c, AlbefTask::retrieval);
  const Tensor image = c.in("image"), ids = c.in("input_ids"), mask = c.in("attention_mask");
  Result result;
  result.set("out.cam_itm", grad_cam_of_text(*model, image, ids, mask, c.param("fusion_layer_index", int64_t(8))));
  result.set("out.cam_itc", grad_cam_of_similarity(*model, image, ids, mask, c.param("vision_block_index", int64_t(8))));
  return result;
}

}  // namespace albef_step

void add_albef_step_operations(Operations& operations) {
  using namespace albef_step;
  operations["albef.pretrain_losses"] = albef_pretrain;
  operations["tcl.pretrain_losses"] = tcl_pretrain;
  operations["albef.retrieval_losses"] = albef_retrieval;
  operations["tcl.retrieval_losses"] = tcl_retrieval;
  operations["albef.itm"] = itm;
  operations["albef.vqa_loss"] = vqa_loss;
  operations["albef.vqa_rank"] = vqa_rank;
  operations["albef.ve_logits"] = ve_logits;
  operations["albef.nlvr_logits"] = nlvr_logits;
  operations["albef.nlvr_text_assignment"] = text_assignment;
  operations["albef.retrieval_rerank"] = retrieval_rerank;
  operations["albef.gradcam"] = gradcam;
}

}  // namespace vlm::golden
