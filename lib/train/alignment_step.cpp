#include "vlm/train/alignment_step.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/nonzero.h>
#include <c10/core/GradMode.h>

#include <optional>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/losses/masked_language_modeling.h"
#include "vlm/train/autocast.h"
#include "vlm/train/feature_queue.h"
#include "vlm/train/momentum.h"

namespace vlm {

AlignmentMethod alignment_method_named(const std::string& name) {
  if (name == "albef") return AlignmentMethod::albef;
  if (name == "tcl") return AlignmentMethod::tcl;
  if (name == "codis") return AlignmentMethod::codis;
  fail_usage("unknown method '", name, "'", did_you_mean(name, {"albef", "tcl", "codis"}), "; there are: albef, tcl, codis");
}

Tensor AlignmentStep::total() const {
  Tensor sum;
  for (const auto& [name, value] : losses) sum = sum.defined() ? sum + value : value;
  return sum;
}

void update_momentum(const MomentumTaught& model, double momentum) {
  std::vector<MomentumPair> pairs;
  for (const auto& [online, copy] : model.momentum_tensors()) pairs.push_back({online, copy});
  momentum_update(pairs, momentum);
}

Tensor matching_logits(const AlbefAligner& model, const Tensor& text, const Tensor& mask, BertContext pictures, const Tensor& negative_image,
                       const Tensor& negative_text) {
  // Pairs, texts with a wrong picture, pictures with a wrong text: one pass.
  const Tensor texts = at::cat({text, text, text.index_select(0, negative_text)});
  const Tensor masks = at::cat({mask, mask, mask.index_select(0, negative_text)});
  const Tensor own = at::arange(text.size(0), negative_image.options());
  pictures.rows = at::cat({own, negative_image, own});
  return model.pair_logits(pictures, texts, masks);  // [3 B, 2]
}

namespace alignment {

/// What the momentum networks make of the batch; constants.
struct Teacher {
  Tensor image, text;              ///< [B, N, W], [B, L, D]
  Tensor image_feat, text_feat;    ///< [B, d]
  Tensor patches, words;           ///< [B, P, d], [B, L - 1, d]; of TCL alone
};

Teacher teach(const AlbefEncoders& networks, const AlignmentBatch& batch, AlignmentMethod method) {
  const at::NoGradGuard no_grad;
  Teacher out;
  out.image = networks.visual_encoder->forward(batch.image_aug.defined() ? batch.image_aug : batch.image);
  out.text = networks.text_encoder->encode_text(batch.ids, batch.mask);
  out.image_feat = networks.project_image(out.image);
  out.text_feat = networks.project_text(out.text);
  if (method == AlignmentMethod::tcl) {
    out.patches = networks.project_patches(out.image).to(at::kFloat);
    out.words = networks.project_words(out.text).to(at::kFloat);
  }
  return out;
}

/// The mean of the parts is "ita".
void add_alignment(AlignmentStep& step) {
  Tensor sum;
  for (const auto& [name, value] : step.parts) sum = sum.defined() ? sum + value : value;
  step.losses.emplace_back("ita", sum / static_cast<double>(step.parts.size()));
}

/// What terms of a recipe may look at (train/alignment_terms.h).
void name_features(AlignmentStep& step, const AlbefAligner& model, const Tensor& image, const Tensor& text, const Teacher& teacher) {
  const auto& f = step.features;
  step.named = {{"image", f.image}, {"text", f.text}, {"image_aug", f.image_m}, {"text_aug", f.text_m}};
  if (!model.vision_proj_ind) return;
  const auto project = [](const Linear& proj, const Tensor& states) { return normalize(proj.forward(states.select(1, 0))); };
  step.named["image_ind"] = project(*model.vision_proj_ind, image);
  step.named["text_ind"] = project(*model.text_proj_ind, text);
  const at::NoGradGuard no_grad;
  step.named["image_ind_aug"] = project(*model.vision_proj_ind, teacher.image);
  step.named["text_ind_aug"] = project(*model.text_proj_ind, teacher.text);
}

}  // namespace alignment

AlignmentStep alignment_step(AlbefAligner& model, const AlignmentBatch& batch, const AlignmentOptions& options) {
  if (!model.image_queue.defined()) fail("this ALBEF model has no queues (image_queue, text_queue), which its losses look at");
  if (options.method == AlignmentMethod::codis && !model.codebook.defined()) fail("CODIS needs a model with a codebook (codebook_size)");
  AlignmentStep step;
  if (options.clamp_temperature) model.clamp_temperature();

  const Tensor image = model.encode_image(batch.image), text = model.encode_text(batch.ids, batch.mask);
  update_momentum(model, options.momentum);
  const auto teacher = alignment::teach(model.momentum(), batch, options.method);
  auto& f = step.features;
  f = {model.online().project_image(image).to(at::kFloat), model.online().project_text(text).to(at::kFloat), teacher.image_feat.to(at::kFloat),
       teacher.text_feat.to(at::kFloat), model.image_queue, model.text_queue};
  alignment::name_features(step, model, image, text, teacher);
  // Similarities, and what comes of them, are float32 whatever the networks compute in.
  std::optional<AutocastOff> float32(std::in_place, image.device().type());

  const int64_t b = batch.ids.size(0);
  step.targets = contrast_targets(batch.idx, model.idx_queue, b, f.image_queue.size(1), f.image.device());
  const auto across = image_text_contrast(f, model.temp, step.targets, options.alpha);
  step.parts = {{"i2t", across.i2t.loss}, {"t2i", across.t2i.loss}};
  if (options.method != AlignmentMethod::albef) {
    const auto within = intra_modal_contrast(f, model.temp, step.targets, options.method == AlignmentMethod::codis ? options.alpha : 0);
    step.parts.emplace_back("i2i", within.i2i.loss);
    step.parts.emplace_back("t2t", within.t2t.loss);
  }
  if (options.method == AlignmentMethod::tcl) {
    const Tensor patches = pool_local_features(teacher.patches, options.pooling);
    step.parts.emplace_back("i2i_local", local_mutual_information(patches, f.image, model.temp));
    step.parts.emplace_back("t2t_local", local_mutual_information(teacher.words, f.text, model.temp, batch.mask.slice(1, 1)));
  }
  alignment::add_alignment(step);
  if (options.method == AlignmentMethod::codis) {
    const auto codes = codebook_loss(f.image, f.text, f.image_m, f.text_m, model.codebook, model.temp, options.codebook);
    step.losses.emplace_back("codebook", codes.loss());
  }

  const FeatureQueues queues = {model.image_queue, model.text_queue, model.idx_queue, model.queue_ptr};
  if (options.communicator) {
    enqueue_over_ranks(*options.communicator, queues, f.image_m, f.text_m, batch.idx);
  } else {
    enqueue_features(queues, f.image_m, f.text_m, batch.idx);
  }

  float32.reset();
  if (!options.matching) {
    // Nothing is fused for it.
  } else if (batch.negative_image.defined()) {
    step.negatives = {negative_weights(across.i2t.similarity, batch.idx), negative_weights(across.t2i.similarity, batch.idx), batch.negative_image,
                      batch.negative_text};
  } else {
    step.negatives = matching_negatives(across.i2t.similarity, across.t2i.similarity, batch.uniform_image, batch.uniform_text, batch.idx);
  }
  // Matching looks at each picture three times, masked language modelling once more: keys and values are computed once.
  BertContext pictures;
  if (options.matching || batch.masked_ids.defined()) pictures = model.online().text_encoder->project(image);
  if (options.matching) {
    step.match_logits = matching_logits(model, text, batch.mask, pictures, step.negatives.image, step.negatives.text);
    step.losses.emplace_back("itm", matching_loss(step.match_logits));
  }

  if (batch.masked_ids.defined()) {
    const auto& learner = model.online().language_model;
    if (!learner) fail("this ALBEF model has no vocabulary head (text_encoder.cls.*) for masked language modelling");
    // Most places are not hidden: the head, whose vocabulary is the widest product of the step, sees those that are.
    const Tensor hidden = batch.mlm_labels.reshape({-1}).ne(-100).nonzero().view({-1});
    const bool some = hidden.size(0) > 0;
    const Tensor labels = some ? batch.mlm_labels.reshape({-1}).index_select(0, hidden).unsqueeze(0) : batch.mlm_labels;  // [1, M]
    const auto logits = [&](const BertLanguageModel& network, const BertContext& seen) {
      const Tensor states = network.bert->encode_pair(batch.masked_ids, batch.mask, {seen});  // [B, L, D]
      return network.logits(some ? states.flatten(0, 1).index_select(0, hidden).unsqueeze(0) : states);
    };
    Tensor logits_m;
    if (options.alpha > 0) {
      const at::NoGradGuard no_grad;
      logits_m = logits(*model.momentum().language_model, BertContext(teacher.image));
    }
    step.losses.emplace_back("mlm", masked_language_modeling_loss(logits(*learner, pictures), labels, logits_m, {.alpha = options.alpha}));
  }
  return step;
}

}  // namespace vlm
