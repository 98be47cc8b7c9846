#include "vlm/data/draw_box.h"

#include <algorithm>
#include <cmath>

#include "vlm/core/error.h"

namespace vlm {

namespace box_drawing {

void fill(Image& image, int64_t left, int64_t top, int64_t right, int64_t bottom, const std::array<uint8_t, 3>& color) {
  for (int64_t y = std::max<int64_t>(0, top); y < std::min<int64_t>(image.height, bottom); ++y) {
    for (int64_t x = std::max<int64_t>(0, left); x < std::min<int64_t>(image.width, right); ++x) std::copy(color.begin(), color.end(), image.row(static_cast<int>(y)) + 3 * x);
  }
}

/// The frame whose outer edge lies `outset` pixels outside the rectangle and which is `thick` pixels wide.
void frame(Image& image, const std::array<int64_t, 4>& r, int64_t outset, int64_t thick, const std::array<uint8_t, 3>& color) {
  const int64_t x0 = r[0] - outset, y0 = r[1] - outset, x1 = r[2] + outset, y1 = r[3] + outset;
  fill(image, x0, y0, x1, y0 + thick, color);
  fill(image, x0, y1 - thick, x1, y1, color);
  fill(image, x0, y0, x0 + thick, y1, color);
  fill(image, x1 - thick, y0, x1, y1, color);
}

}  // namespace box_drawing

void draw_box(Image& image, const std::array<float, 4>& box, const std::array<uint8_t, 3>& color) {
  if (image.channels != 3) fail("boxes are drawn into pictures of three channels");
  // Far outside is as good as just outside; an outline that lies wholly outside cannot be seen.
  std::array<int64_t, 4> rounded{};
  for (size_t i = 0; i < 4; ++i) rounded[i] = static_cast<int64_t>(std::lround(std::clamp(box[i], -16384.0f, 32768.0f)));
  const int64_t thick = std::max<int64_t>(2, std::min(image.height, image.width) / 150);
  box_drawing::frame(image, rounded, 1, thick + 2, {16, 16, 16});
  box_drawing::frame(image, rounded, 0, thick, color);
}

}  // namespace vlm
