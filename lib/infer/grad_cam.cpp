#include "vlm/infer/grad_cam.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/models/albef/albef.h"
#include "vlm/models/layers/attention.h"

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

/// `layer`, or the one that is taken where none is named.
int64_t layer_of(const AttentionExplainable& model, int64_t layer) {
  const std::vector<int64_t> looking = model.looking_layers();
  if (looking.empty()) fail("no layer of this model's text looks at the picture");
  if (layer < 0) return looking[looking.size() / 3];
  if (std::find(looking.begin(), looking.end(), layer) != looking.end()) return layer;
  std::vector<std::string> known;
  for (const int64_t each : looking) known.push_back(std::to_string(each));
  fail_usage("layer ", layer, " does not look at the picture; these do: ", join(known, ", "));
}

}  // namespace grad_cam

bool shows_heat(const Model& model) { return dynamic_cast<const AttentionExplainable*>(&model) != nullptr; }

AttentionExplainable& must_show_heat(Model& model) {
  return require<AttentionExplainable>(model, "show where words are",
                                       "it has no matching head on layers of text that look at the picture; ALBEF's, TCL's, "
                                       "CODIS's, mPLUG's and BLIP's models "
                                       "for retrieval have, and those pretrained models that match");
}

Tensor grad_cam_of_words(AttentionExplainable& model, const Tensor& pixels, const Tensor& ids, const Tensor& mask,
                         int64_t layer) {
  AttentionTrace trace{.layer = grad_cam::layer_of(model, layer), .probabilities = {}};
  Tensor pictures, texts;
  {
    // Only what comes after the attention is differentiated.
    const at::NoGradGuard no_grad;
    pictures = model.match_pictures(pixels);
    texts = model.match_texts(ids, mask);
  }
  const c10::AutoGradMode with_gradients(true);
  const Tensor logits = model.traced_match_logits(pictures, texts, mask, trace);
  const Tensor heat = grad_cam::heat(logits.select(1, 1).sum(), trace.probabilities);  // [B, L, 1 + N]
  return grad_cam::as_grid(heat * mask.unsqueeze(-1));
}

Tensor grad_cam_of_text(AttentionExplainable& model, const Tensor& pixels, const Tensor& ids, const Tensor& mask,
                        int64_t layer) {
  return grad_cam_of_words(model, pixels, ids, mask, layer).mean(1);
}

Tensor grad_cam_of_similarity(const AlbefAligner& model, const Tensor& pixels, const Tensor& ids, const Tensor& mask,
                              int64_t block) {
  if (const int64_t blocks = model.architecture().vision.layers; block < 0 || block >= blocks)
    fail_usage("the image tower has blocks 0 to ", blocks - 1, ", and no ", block);
  const c10::AutoGradMode with_gradients(true);
  AttentionTrace trace{.layer = block, .probabilities = {}};
  const Tensor image = model.online().project_image(model.online().visual_encoder->forward(pixels, &trace));
  const Tensor text = model.online().project_text(model.encode_text(ids, mask));
  const Tensor score = ((image * text).sum(1) / model.temp).sum();
  return grad_cam::as_grid(grad_cam::heat(score, trace.probabilities).select(1, 0));
}

}  // namespace vlm
