#pragma once
/// Pictures with a box and an expression about it, as mPLUG's grounding prepares them (specs: mplug, 3.4).

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "vlm/data/ofa_boxes.h"

namespace vlm {

using at::Tensor;

struct SquarePicture {
  Tensor pixels;             ///< [3, S, S], normalised; 0 where there is no picture
  Tensor padding;            ///< [S, S], int64: 1 where there is no picture
  std::array<float, 4> box;  ///< cx, cy, w, h in shares of S
};

/// Puts a picture in the middle of a square; what is odd goes behind it. The whole way from a file to such pixels is Preprocess with
/// resize_mode longest and fill_color -1. pixels: [3, h, w], 0 … 1, h and w at most `size`; box: corners in pixels.
SquarePicture pad_to_square(const Tensor& pixels, const Corners& box, int64_t size, const std::vector<double>& mean, const std::vector<double>& std);

/// The box of the mirrored picture.
Corners mirrored(const Corners& box, float width);
/// "left" and "right" change places, wherever they stand, also inside of words, as in the reference ("bright" becomes "bleft").
std::string mirrored_expression(const std::string& text);

}  // namespace vlm
