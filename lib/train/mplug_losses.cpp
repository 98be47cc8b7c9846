#include "vlm/train/mplug_losses.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <c10/core/GradMode.h>

#include "vlm/core/error.h"
#include "vlm/losses/language_modeling.h"
#include "vlm/losses/masked_language_modeling.h"
#include "vlm/train/alignment_step.h"
#include "vlm/train/feature_queue.h"

namespace vlm {

MplugPairStates mplug_contrast(MplugModel& model, const MplugPairBatch& batch, const MplugPairOptions& options) {
  if (!model.has_copies() || !model.image_queue.defined()) fail("this mPLUG has no slow copies and queues to be contrasted with; set distill in its configuration");
  const auto& networks = model.networks;
  const auto& copies = model.copies;
  MplugPairStates out;
  out.mask = batch.mask;
  out.image = networks.encode_image(batch.pixels);           // [B, P, H]
  out.text = networks.encode_text(batch.ids, batch.mask);    // [B, L, H]
  QueueContrastFeatures features;
  features.image = networks.project_image(out.image);        // [B, E]
  features.text = networks.project_text(out.text);
  {
    const at::NoGradGuard no_grad;
    update_momentum(model, options.momentum);
    out.image_m = copies.encode_image(batch.pixels);
    features.image_m = copies.project_image(out.image_m);
    features.text_m = copies.project_text(copies.encode_text(batch.ids, batch.mask));
  }
  features.image_queue = model.image_queue.clone();
  features.text_queue = model.text_queue.clone();
  const Tensor hard = contrast_targets(batch.idx, model.idx_queue.defined() && batch.idx.defined() ? model.idx_queue : Tensor(), batch.pixels.size(0),
                                       model.image_queue.size(1), batch.pixels.device());
  out.contrast = image_text_contrast(features, model.temp, hard, options.alpha);
  const auto of_all = [&](const Tensor& x) { return options.gather && x.defined() ? options.gather(x) : x; };
  enqueue_features({model.image_queue, model.text_queue, model.idx_queue, model.queue_ptr}, of_all(features.image_m), of_all(features.text_m), of_all(batch.idx));
  return out;
}

Tensor mplug_matching_logits(const MplugModel& model, const MplugPairStates& states, const Tensor& wrong_image, const Tensor& wrong_text) {
  const Tensor& image = states.image;
  const Tensor& text = states.text;
  return model.pair_logits(at::cat({image, image.index_select(0, wrong_image), image}), at::cat({text, text, text.index_select(0, wrong_text)}),
                            at::cat({states.mask, states.mask, states.mask.index_select(0, wrong_text)}));
}

Tensor mplug_masked_loss(const MplugPretrainer& model, const MplugPairStates& states, const Tensor& ids, const Tensor& labels, double alpha) {
  const auto logits_of = [&](const MplugNetworks& networks, const Tensor& image) {
    return networks.fusion_lm->logits(networks.fusion_encoder->forward(networks.encode_text(ids, states.mask), states.mask, image).text);  // [B, L, V]
  };
  const Tensor logits = logits_of(model.networks, states.image);
  Tensor taught;
  if (alpha > 0) {
    const at::NoGradGuard no_grad;
    taught = logits_of(model.copies, states.image_m);
  }
  return masked_language_modeling_loss(logits, labels, taught, {.alpha = alpha, .axis = DistillAxis::sequence});
}

Tensor mplug_prefix_loss(const MplugModel& model, const Tensor& image, const Tensor& prefix, const Tensor& prefix_mask, const Tensor& target,
                         const Tensor& target_mask) {
  const BertContext context = model.read(image, prefix, prefix_mask);
  return next_token_loss(model.networks.text_decoder->forward(target, target_mask, context.states, context.mask),
                         mplug_labels(target, model.architecture().pad));
}

MplugAnswerLoss mplug_answer_loss(MplugAnswerer& model, const AnswerBatch& batch, const Tensor& weights) {
  MplugAnswerLoss out;
  out.logits = model.answer_logits(batch);
  out.rows = next_token_row_losses(out.logits, mplug_labels(batch.answer, model.architecture().pad));
  out.loss = (weights * out.rows).sum() / static_cast<double>(batch.pixels.size(0));
  return out;
}

Tensor mplug_labels(const Tensor& ids, int64_t pad, int64_t prompt_length) {
  Tensor labels = ids.masked_fill(ids.eq(pad), -100);
  if (prompt_length > 0) labels.slice(1, 0, prompt_length).fill_(-100);
  return labels;
}

}  // namespace vlm
