#pragma once
/// Rectangles as OFA reads and writes them: corners in pixels, and one of some thousand bins for each coordinate (specs: ofa, 4).
/// Arithmetic is in float32, as in the reference, where rounding decides about a bin.

#include <array>
#include <cstdint>

#include "vlm/data/image.h"

namespace vlm {

/// x0, y0, x1, y1 in pixels.
using Corners = std::array<float, 4>;
using BoxBins = std::array<int64_t, 4>;

struct BoxBinOptions {
  int64_t num_bins = 1000;
  int64_t max_image_size = 512;  ///< the pixel of the last bin; not the size of the pictures
};

/// The size that OFA gives to a picture: the short side becomes `side`, the long one keeps the shape and is cut to a whole number;
/// then each is at most `max_side`. A picture whose short side is right already is not scaled.
ImageSize ofa_resized(const ImageSize& picture, int64_t side, int64_t max_side);

/// How many times as wide and high a picture became.
struct ResizeRatios {
  float width = 1, height = 1;
};
ResizeRatios resize_ratios(const ImageSize& from, const ImageSize& to);

Corners scaled(const Corners& box, const ResizeRatios& ratios);
/// Coordinates in the resized picture over max_image_size.
Corners normalised(const Corners& resized, const BoxBinOptions& options = {});
/// Of a box in the resized picture; rounded half to even, and kept within the bins.
BoxBins to_bins(const Corners& resized, const BoxBinOptions& options = {});
/// Back to pixels of the picture as it was before it was resized.
Corners from_bins(const BoxBins& bins, const ResizeRatios& ratios, const BoxBinOptions& options = {});

}  // namespace vlm
