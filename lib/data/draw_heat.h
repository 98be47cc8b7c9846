#pragma once
/// Maps of heat drawn over pictures, for people to look at.

#include <ATen/core/Tensor.h>

#include "vlm/data/image.h"

namespace vlm {

/// Darkens the picture where the map is low and reddens it where it is high. image: RGB; heat: [height, width], float; what is below 0 or
/// above `full` counts as these.
void draw_heat(Image& image, const at::Tensor& heat, double full);

}  // namespace vlm
