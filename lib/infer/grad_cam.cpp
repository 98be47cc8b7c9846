#include "vlm/infer/grad_cam.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/GradMode.h>

#include <cmath>

#include "vlm/core/error.h"

namespace vlm {

namespace grad_cam {

/// The part of attention that raises a score, mean over heads. A: [B, H, Lq, Lk]; returns [B, Lq, Lk].
Tensor heat(const Tensor& score, Tensor attention) {
  // Only this gradient is asked for: weights keep theirs as they are.
  score.backward({}, /*retain_graph=*/false, /*create_graph=*/false, at::TensorList(attention));
  const at::NoGradGuard no_grad;
  return (attention.detach() * attention.grad().clamp_min(0)).mean(1);
}

/// Patches behind the class token as a square: [..., 1 + N] -> [..., side, side].
Tensor as_grid(const Tensor& heat) {
  const int64_t patches = heat.size(-1) - 1;
  const auto side = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(patches))));
  if (side * side != patches) fail(patches, " patches are no square that a map could be drawn of");
  return heat.slice(-1, 1).unflatten(-1, at::IntArrayRef{side, side});
}

void check_layer(const char* what, int64_t layer, int64_t first, int64_t last) {
  if (layer < first || layer >= last) fail_usage(what, " ", layer, " does not look at the picture; those from ", first, " to ", last - 1, " do");
}

}  // namespace grad_cam

bool shows_heat(const Model& model) { return dynamic_cast<const AlbefAligner*>(&model) != nullptr; }

std::string heat_text_rules(const Model& model) { return shows_heat(model) ? "albef" : "none"; }

Tensor heat_of_words(Model& model, const Tensor& pixels, const Tensor& ids, const Tensor& mask, int64_t layer) {
  const auto& aligner =
      require<AlbefAligner>(model, "show where words are", "it has no matching head on layers of text that look at the picture; ALBEF has");
  const auto& options = aligner.online().text_encoder->options();
  return grad_cam_of_words(aligner, pixels, ids, mask, layer >= 0 ? layer : options.fusion_layer + (options.layers - options.fusion_layer) / 3);
}

Tensor grad_cam_of_words(const AlbefAligner& model, const Tensor& pixels, const Tensor& ids, const Tensor& mask, int64_t layer) {
  const auto& options = model.online().text_encoder->options();
  grad_cam::check_layer("layer", layer, options.fusion_layer, options.layers);
  const c10::AutoGradMode with_gradients(true);
  AttentionTrace trace{.layer = layer, .probabilities = {}};
  const Tensor logits = model.pair_logits(model.encode_image(pixels), model.encode_text(ids, mask), mask, &trace);
  const Tensor heat = grad_cam::heat(logits.select(1, 1).sum(), trace.probabilities);          // [B, L, 1 + N]
  return grad_cam::as_grid(heat * mask.unsqueeze(-1));
}

Tensor grad_cam_of_text(const AlbefAligner& model, const Tensor& pixels, const Tensor& ids, const Tensor& mask, int64_t layer) {
  return grad_cam_of_words(model, pixels, ids, mask, layer).mean(1);
}

Tensor grad_cam_of_similarity(const AlbefAligner& model, const Tensor& pixels, const Tensor& ids, const Tensor& mask, int64_t block) {
  grad_cam::check_layer("block", block, 0, model.architecture().vision.layers);
  const c10::AutoGradMode with_gradients(true);
  AttentionTrace trace{.layer = block, .probabilities = {}};
  const Tensor image = model.online().project_image(model.online().visual_encoder->forward(pixels, &trace));
  const Tensor text = model.online().project_text(model.encode_text(ids, mask));
  const Tensor score = ((image * text).sum(1) / model.temp).sum();
  return grad_cam::as_grid(grad_cam::heat(score, trace.probabilities).select(1, 0));
}

}  // namespace vlm
