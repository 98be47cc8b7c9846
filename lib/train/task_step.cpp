#include "vlm/train/task_step.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include "vlm/core/error.h"
#include "vlm/losses/distill.h"
#include "vlm/losses/image_text_matching.h"
#include "vlm/losses/language_modeling.h"
#include "vlm/models/albef/albef.h"
#include "vlm/train/alignment_step.h"

namespace vlm {

namespace task_step {

/// Whether momentum copies teach; they have moved then.
bool taught(bool has_teacher, const MomentumTaught* copies, const TaskStepOptions& options) {
  if (options.alpha > 0 && !has_teacher) fail("alpha is ", options.alpha, ", but this model has no momentum copies that could teach");
  if (copies && !copies->momentum_tensors().empty()) update_momentum(*copies, options.momentum);
  return options.alpha > 0;
}

}  // namespace task_step

TaskStep answer_step(AnswerTrainable& model, const MomentumTaught* copies, const AnswerBatch& batch, const Tensor& weights, const TaskStepOptions& options) {
  const bool taught = task_step::taught(model.has_teacher(), copies, options);
  TaskStep step;
  step.logits = model.answer_logits(batch);                                                             // [N, L, V]
  const Tensor labels = batch.answer.masked_fill(batch.answer_mask.eq(0), -100);
  const Tensor teacher = taught ? model.momentum_answer_logits(batch) : Tensor();
  const Tensor rows = next_token_row_losses(step.logits, labels, teacher, options.alpha, -100, options.label_smoothing);
  step.loss = (weights * rows).sum() / static_cast<double>(batch.question.size(0));
  return step;
}

TaskStep classify_step(const PairClassifier& model, const MomentumTaught* copies, const Tensor& pixels, const Tensor& ids, const Tensor& mask,
                       const Tensor& labels, const TaskStepOptions& options) {
  const bool taught = task_step::taught(model.has_teacher(), copies, options);
  TaskStep step;
  step.logits = model.logits(pixels, ids, mask);
  step.loss = at::cross_entropy_loss(step.logits, labels);
  if (taught) {
    const Tensor teacher = model.momentum_logits(pixels, ids, mask);
    step.loss = (1 - options.alpha) * step.loss + options.alpha * soft_cross_entropy(teacher, step.logits);
  }
  return step;
}

Tensor picture_pair_weights(const Tensor& pictures) {
  const at::NoGradGuard no_grad;
  constexpr double temperature = 0.07;
  return at::softmax(at::matmul(pictures, pictures.t()) / temperature, 1).fill_diagonal_(0);
}

PicturePairs draw_picture_pairs(const Tensor& pictures, const Tensor& uniforms) {
  const at::NoGradGuard no_grad;
  const int64_t b = pictures.size(0);
  PicturePairs out;
  out.weights = picture_pair_weights(pictures);
  const Tensor own = at::arange(b, uniforms.options().dtype(at::kLong));
  const Tensor negative = draw_negatives(out.weights, uniforms.select(1, 2));
  const Tensor left_first = uniforms.select(1, 1).gt(0.5);
  out.first = at::where(left_first, own, negative);
  out.second = at::where(left_first, negative, own);
  out.labels = at::where(left_first, at::zeros_like(own), at::full_like(own, 1));
  if (b < 3) return out;
  Tensor rest = out.weights.clone();
  rest.scatter_(1, negative.unsqueeze(1), 0);
  // Where all other weights are 0, whoever is neither the row's own nor the first negative stands in.
  const Tensor none = rest.sum(1, true).eq(0);
  Tensor others = at::full_like(rest, 1).fill_diagonal_(0);
  others.scatter_(1, negative.unsqueeze(1), 0);
  const Tensor another = draw_negatives(at::where(none, others, rest), uniforms.select(1, 3));
  const Tensor two = uniforms.select(1, 0).le(1.0 / 3);
  out.first = at::where(two, negative, out.first);
  out.second = at::where(two, another, out.second);
  out.labels = at::where(two, at::full_like(own, 2), out.labels);
  return out;
}

TaskStep assign_step(const AlbefTextAssigner& model, const Tensor& image, const Tensor& ids, const Tensor& mask, const Tensor& first,
                     const Tensor& second, const Tensor& labels) {
  TaskStep step;
  step.logits = model.logits(image, first, second, ids, mask);
  step.loss = at::cross_entropy_loss(step.logits, labels);
  return step;
}

}  // namespace vlm
