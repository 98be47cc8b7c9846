#pragma once
/// Image-text matching with hard negatives drawn from the batch (ALBEF, arXiv 2107.07651, eq. 4; specs: alignment, 2.4; mplug, 2).

#include <ATen/core/Tensor.h>

namespace vlm {

using at::Tensor;

enum class NoNegative {
  uniform,  ///< draw evenly among the others: those of other pictures, or any if there are none (TCL)
  error,    ///< throw an Error that names the row (mPLUG)
};

/// [B, B], a constant: softmax over the batch's own columns of the scores (the first B of [B, B + Q]), 0 where the column is no
/// negative: the row's own, or with idx ([B], int64, undefined: none) every column of the same picture. Rows are not made to sum
/// to 1 again.
Tensor negative_weights(const Tensor& similarity, const Tensor& idx = {});

/// [B], int64: in each row the first column k with w_0 + … + w_k > u (w_0 + … + w_B-1). uniforms: [B], from [0, 1).
/// idx: as above; decides who stands in where a row has no weight at all, through under- or overflow or for want of negatives.
Tensor draw_negatives(const Tensor& weights, const Tensor& uniforms, const Tensor& idx = {}, NoNegative otherwise = NoNegative::uniform);

/// The hard negatives of a batch. Where random numbers come from one stream, those for pictures are drawn first.
struct MatchingNegatives {
  Tensor weights_i2t, weights_t2i;  ///< [B, B]
  Tensor image;                     ///< [B], int64: the wrong picture of each text, drawn from weights_t2i
  Tensor text;                      ///< [B], int64: the wrong text of each picture, drawn from weights_i2t
};

/// sim_i2t, sim_t2i: [B, B + Q], of ImageTextContrast. uniform_image, uniform_text: [B].
MatchingNegatives matching_negatives(const Tensor& sim_i2t, const Tensor& sim_t2i, const Tensor& uniform_image, const Tensor& uniform_text,
                                     const Tensor& idx = {}, NoNegative otherwise = NoNegative::uniform);

/// Cross entropy over 3 B rows, scalar: logits [3 B, 2] of B pairs that belong together (class 1), then 2 B that do not (class 0).
Tensor matching_loss(const Tensor& logits);

}  // namespace vlm
