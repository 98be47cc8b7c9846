#pragma once
/// Where a text is in a picture, by the gradients of attention (GradCAM, arXiv 1610.02391, as ALBEF grounds texts; specs: alignment, 3.6).

#include <ATen/core/Tensor.h>

#include <string>

#include "vlm/models/albef/albef.h"

namespace vlm {

/// Whether heat_of_words() has something to say.
bool shows_heat(const Model& model);
/// What is done to texts before they are read: the name of rules of text/caption_cleaning.h.
std::string heat_text_rules(const Model& model);
/// As grad_cam_of_words() for any model that can: [B, L, side, side]. layer -1: a third of the way through the layers that look at the
/// picture, which is the released models' 8. Throws an Error such as "this clip model cannot show where words are: …".
Tensor heat_of_words(Model& model, const Tensor& pixels, const Tensor& ids, const Tensor& mask, int64_t layer = -1);

/// Through the matching head and the cross attention of layer `layer` (counted from the first layer of the text encoder; 8 in the
/// released models). Heat of patches for each token: [B, L, side, side]; 0 for padding. pixels: [B, 3, S, S]; ids, mask: [B, L].
Tensor grad_cam_of_words(const AlbefAligner& model, const Tensor& pixels, const Tensor& ids, const Tensor& mask, int64_t layer = 8);
/// The same for the text as a whole, [B, side, side]: the mean over all L places, padding included, as in the reference.
Tensor grad_cam_of_text(const AlbefAligner& model, const Tensor& pixels, const Tensor& ids, const Tensor& mask, int64_t layer = 8);
/// Through the similarity of picture and text and the self attention of block `block` of the image tower: [B, side, side].
Tensor grad_cam_of_similarity(const AlbefAligner& model, const Tensor& pixels, const Tensor& ids, const Tensor& mask, int64_t block = 8);

}  // namespace vlm
