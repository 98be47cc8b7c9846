#pragma once
/// Boxes drawn into pictures, for people to look at.

#include <array>

#include "vlm/data/image.h"

namespace vlm {

/// The outline of x0, y0, x1, y1 (pixels; what lies outside the picture is left out) in `color`, as thick as suits the picture,
/// on a dark line so that it shows on any ground. `image`: RGB.
void draw_box(Image& image, const std::array<float, 4>& box, const std::array<uint8_t, 3>& color = {255, 48, 48});

}  // namespace vlm
