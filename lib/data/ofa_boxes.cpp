#include "vlm/data/ofa_boxes.h"

#include <algorithm>
#include <cmath>

#include "vlm/core/error.h"

namespace vlm {

ImageSize ofa_resized(const ImageSize& picture, int64_t side, int64_t max_side) {
  if (picture.height <= 0 || picture.width <= 0) fail("an empty picture cannot be resized");
  const int64_t h = picture.height, w = picture.width;
  int64_t height = h, width = w;
  if (std::min(h, w) != side) {
    // The quotient in double, as Python divides.
    const auto longer = [&](int64_t longest, int64_t shortest) {
      return static_cast<int64_t>(static_cast<double>(side * longest) / static_cast<double>(shortest));
    };
    width = w < h ? side : longer(w, h);
    height = w < h ? longer(h, w) : side;
  }
  return {static_cast<int>(std::min(height, max_side)), static_cast<int>(std::min(width, max_side))};
}

ResizeRatios resize_ratios(const ImageSize& from, const ImageSize& to) {
  if (from.height <= 0 || from.width <= 0) fail("an empty picture cannot be resized");
  return {static_cast<float>(static_cast<double>(to.width) / from.width), static_cast<float>(static_cast<double>(to.height) / from.height)};
}

Corners scaled(const Corners& box, const ResizeRatios& r) { return {box[0] * r.width, box[1] * r.height, box[2] * r.width, box[3] * r.height}; }

Corners normalised(const Corners& resized, const BoxBinOptions& options) {
  Corners out;
  for (size_t i = 0; i < 4; ++i) out[i] = resized[i] / static_cast<float>(options.max_image_size);
  return out;
}

BoxBins to_bins(const Corners& resized, const BoxBinOptions& options) {
  if (options.num_bins < 2 || options.max_image_size < 1) fail_usage("boxes need at least two bins and a positive max_image_size");
  const Corners parts = normalised(resized, options);
  BoxBins out;
  for (size_t i = 0; i < 4; ++i) {
    const float bin = std::nearbyintf(parts[i] * static_cast<float>(options.num_bins - 1));
    out[i] = static_cast<int64_t>(std::clamp(bin, 0.0f, static_cast<float>(options.num_bins - 1)));
  }
  return out;
}

Corners from_bins(const BoxBins& bins, const ResizeRatios& ratios, const BoxBinOptions& options) {
  Corners out;
  for (size_t i = 0; i < 4; ++i) {
    const float pixel = static_cast<float>(bins[i]) / static_cast<float>(options.num_bins - 1) * static_cast<float>(options.max_image_size);
    out[i] = pixel / (i % 2 ? ratios.height : ratios.width);
  }
  return out;
}

}  // namespace vlm
