#pragma once
/// Where a text is in a picture, by the gradients of attention (GradCAM, arXiv 1610.02391, as ALBEF grounds texts; specs: alignment, 3.6).

#include <ATen/core/Tensor.h>

#include <string>

#include "vlm/models/attention_explainable.h"

namespace vlm {

class AlbefAligner;

/// Whether the model is an AttentionExplainable.
bool shows_heat(const Model& model);
/// The model as that; throws an Error such as "this clip model cannot show where words are: …", which names those that can.
AttentionExplainable& must_show_heat(Model& model);

/// Through the matching head and the cross attention of layer `layer`, one of looking_layers(); -1: a third of the way through these, which is
/// 8 in the released models of ALBEF. Heat of patches for each token: [B, L, side, side]; 0 for padding. pixels: [B, 3, S, S]; ids, mask: [B, L].
Tensor grad_cam_of_words(AttentionExplainable& model, const Tensor& pixels, const Tensor& ids, const Tensor& mask, int64_t layer = -1);
/// The same for the text as a whole, [B, side, side]: the mean over all L places, padding included, as in the reference.
Tensor grad_cam_of_text(AttentionExplainable& model, const Tensor& pixels, const Tensor& ids, const Tensor& mask, int64_t layer = -1);
/// Of ALBEF: through the similarity of picture and text and the self attention of block `block` of the image tower: [B, side, side].
Tensor grad_cam_of_similarity(const AlbefAligner& model, const Tensor& pixels, const Tensor& ids, const Tensor& mask, int64_t block = 8);

}  // namespace vlm
