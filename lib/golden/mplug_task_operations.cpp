/// Losses, rankings and boxes of mPLUG (specs: mplug, 2, 3 and 6).

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/tensor.h>
#include <c10/core/InferenceMode.h>

#include "vlm/core/error.h"
#include "vlm/golden/mplug_case.h"
#include "vlm/infer/answer_ranking.h"
#include "vlm/infer/rerank.h"
#include "vlm/losses/box_token_loss.h"
#include "vlm/losses/language_modeling.h"
#include "vlm/models/mplug/grounder.h"
#include "vlm/train/alignment_step.h"
#include "vlm/train/mplug_losses.h"

namespace vlm::golden {

namespace mplug_tasks {

Result caption_loss(const Case& c) {
  const auto model = mplug_model<MplugCaptioner>(c);
  MplugInputs in(c);
  const bool video = c.param<std::string>("model", "caption") == "videocap";
  const Tensor ids = c.in("input_ids"), logits = model->caption_logits(in("image"), ids, in("attention_mask"));
  const auto& prompt = model->architecture().prompt_ids;
  const int64_t prompt_length = video && !prompt.empty() ? static_cast<int64_t>(prompt.size()) - 1 : 0;
  Result result;
  result.set("out.logits", logits);
  in.finish(result, next_token_loss(logits, mplug_labels(ids, model->architecture().pad, prompt_length)), *model);
  return result;
}

/// The weights that the case calls out.momentum.NAME.
void set_momentum(Result& result, const Case& c, const MplugModel& model) {
  for (const auto& [name, tensor] : model.state()) {
    if (c.wants("out.momentum." + name)) result.set("out.momentum." + name, tensor);
  }
}

Result vqa_loss(const Case& c) {
  const auto model = mplug_model<MplugAnswerer>(c);
  MplugInputs in(c);
  if (model->has_copies()) update_momentum(*model, c.param("momentum", model->architecture().momentum));
  AnswerBatch batch;
  batch.pixels = in("image");
  batch.question = c.in("question_ids");
  batch.question_mask = in("question_mask");
  batch.row = at::arange(batch.pixels.size(0)).repeat_interleave(at::tensor(c.params.at("k").get<std::vector<int64_t>>(), at::kLong));
  batch.answer = c.in("answer_ids");
  batch.answer_mask = in("answer_mask");
  const MplugAnswerLoss out = mplug_answer_loss(*model, batch, c.in("weights"));
  Result result;
  result.set("out.answer_loss", out.rows);
  result.set("out.logits", out.logits);
  in.finish(result, out.loss, *model);
  set_momentum(result, c, *model);
  return result;
}

Result ranked_answers(const Case& c) {
  const auto model = mplug_model<MplugAnswerer>(c);
  const c10::InferenceMode inference;
  const auto [states, mask] = model->read_question(c.in("image"), c.in("question_ids"), c.in("question_mask"));
  const RankedAnswers ranked = rank_answers(*model, states, mask, c.in("answer_ids"), c.in("answer_mask"), {.k = c.params.at("k")});
  Result result;
  result.set("out.topk_ids", ranked.ids);
  result.set("out.topk_probs", ranked.probabilities);
  return result;
}

Tensor numbers(const Case& c, const char* name) { return at::tensor(c.params.at(name).get<std::vector<int64_t>>(), at::kLong); }

/// What retrieval and pretraining have in common, after the contrast.
Tensor matching(Result& result, const Case& c, const MplugModel& model, const MplugPairStates& states, const Tensor& idx) {
  const Tensor logits = mplug_matching_logits(model, states, numbers(c, "neg_image_idx"), numbers(c, "neg_text_idx"));
  const Tensor loss = matching_loss(logits);
  result.set("out.loss_ita", states.contrast.loss());
  result.set("out.loss_itm", loss);
  result.set("out.itm_logits", logits);
  result.set("out.weights_t2i", negative_weights(states.contrast.t2i.similarity, idx));
  result.set("out.weights_i2t", negative_weights(states.contrast.i2t.similarity, idx));
  result.set("out.image_queue", model.image_queue);
  result.set("out.text_queue", model.text_queue);
  result.set("out.queue_ptr", model.queue_ptr);
  if (model.idx_queue.defined()) result.set("out.idx_queue", model.idx_queue);
  return loss;
}

Result retrieval_losses(const Case& c) {
  const auto model = mplug_model<MplugRetriever>(c);
  MplugInputs in(c);
  MplugPairOptions options;
  options.alpha = c.params.at("alpha");
  options.momentum = c.param("momentum", model->architecture().momentum);
  const MplugPairStates states = mplug_contrast(*model, {in("image"), c.in("input_ids"), c.in("attention_mask"), c.in("idx")}, options);
  Result result;
  const Tensor matched = matching(result, c, *model, states, c.in("idx"));
  in.finish(result, states.contrast.loss() + matched, *model);
  set_momentum(result, c, *model);
  return result;
}

Result pretrain_losses(const Case& c) {
  const auto model = mplug_model<MplugPretrainer>(c);
  MplugInputs in(c);
  MplugPairOptions options;
  options.alpha = c.params.at("alpha");
  options.momentum = c.param("momentum", 0.995);
  model->clamp_temperature();
  const MplugPairStates states = mplug_contrast(*model, {in("image"), c.in("text_ids"), c.in("text_mask"), {}}, options);
  Result result;
  const Tensor matched = matching(result, c, *model, states, {});
  const Tensor masked = mplug_masked_loss(*model, states, c.in("mlm_input_ids"), c.in("mlm_labels"), options.alpha);
  const Tensor prefix = mplug_prefix_loss(*model, states.image, c.in("prefix_ids"), c.in("prefix_mask"), c.in("target_ids"), c.in("target_mask"));
  result.set("out.loss_mlm", masked);
  result.set("out.loss_prefix", prefix);
  result.set("out.temp", model->temp.detach().clone());
  in.finish(result, masked + states.contrast.loss() + matched + prefix, *model);
  set_momentum(result, c, *model);
  return result;
}

Result itm_scores(const Case& c) {
  const auto model = mplug_model<MplugRetriever>(c);
  const c10::InferenceMode inference;
  const bool video = c.has_in("video");
  const Tensor pixels = video ? c.in("video") : c.in("image"), mask = c.in("attention_mask");
  const Tensor image = model->encode_image(pixels), text = model->networks.encode_text(c.in("input_ids"), mask);
  const Tensor image_vectors = video ? model->networks.project_video(image, pixels.size(1)) : model->networks.project_image(image);
  const Tensor similarities = image_vectors.matmul(model->networks.project_text(text).t());
  const RerankOptions options{.k = c.param("k_test", model->architecture().k_test), .add_similarity = video};
  Result result;
  result.set("out.scores_i2t", rerank(*model, image, text, mask, similarities, RerankRows::pictures, options));
  result.set("out.scores_t2i", rerank(*model, image, text, mask, similarities.t(), RerankRows::texts, options));
  return result;
}

Result grounding_loss(const Case& c) {
  const auto model = mplug_model<MplugGrounder>(c);
  MplugInputs in(c);
  const Tensor ids = model->box_ids(c.in("boxes"));
  const Tensor logits = model->box_logits(in("image"), c.in("input_ids"), in("attention_mask"), ids);
  const auto& config = model->architecture();
  const BoxTokenLoss out = box_token_loss(logits, ids, c.in("boxes"), {.first = config.box_first, .bins = config.box_bins});
  Result result;
  result.set("out.token_loss", out.token_loss);
  result.set("out.target_ids", ids.slice(1, 1));
  result.set("out.logits", logits);
  result.set("out.pred_boxes", out.boxes);
  result.set("out.weight_l1", out.weight_l1);
  result.set("out.weight_giou", out.weight_giou);
  in.finish(result, out.loss, *model);
  return result;
}

Result grounding_predict(const Case& c) {
  const auto model = mplug_model<MplugGrounder>(c);
  const c10::InferenceMode inference;
  MplugInputs in(c);
  Result result;
  result.set("out.boxes", model->ground(c.in("image"), c.in("input_ids"), in("attention_mask")).boxes);
  return result;
}

}  // namespace mplug_tasks

void add_mplug_task_operations(Operations& operations) {
  operations["mplug.caption_loss"] = mplug_tasks::caption_loss;
  operations["mplug.vqa_loss"] = mplug_tasks::vqa_loss;
  operations["mplug.rank_answers"] = mplug_tasks::ranked_answers;
  operations["mplug.retrieval_losses"] = mplug_tasks::retrieval_losses;
  operations["mplug.pretrain_losses"] = mplug_tasks::pretrain_losses;
  operations["mplug.itm_scores"] = mplug_tasks::itm_scores;
  operations["mplug.grounding_loss"] = mplug_tasks::grounding_loss;
  operations["mplug.grounding_predict"] = mplug_tasks::grounding_predict;
}

}  // namespace vlm::golden
