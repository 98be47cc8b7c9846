#include "vlm/data/draw_heat.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "vlm/core/error.h"

namespace vlm {

void draw_heat(Image& image, const at::Tensor& heat, double full) {
  if (image.channels != 3 || heat.dim() != 2 || heat.size(0) != image.height || heat.size(1) != image.width) {
    fail("a map of heat must be as large as its picture of three channels: ", heat.sizes(), " over ", image.height, " x ", image.width, " x ", image.channels);
  }
  static constexpr std::array<double, 3> hot = {255, 64, 32};
  const at::Tensor values = heat.detach().to(at::kFloat).cpu().contiguous();
  const float* value = values.const_data_ptr<float>();
  for (int y = 0; y < image.height; ++y) {
    uint8_t* pixel = image.row(y);
    for (int x = 0; x < image.width; ++x, pixel += 3, ++value) {
      const double v = full > 0 ? std::clamp(static_cast<double>(*value) / full, 0.0, 1.0) : 0;
      const double light = 0.45 + 0.55 * v, red = 0.5 * v;
      for (size_t c = 0; c < 3; ++c) pixel[c] = static_cast<uint8_t>(std::clamp(std::lround((1 - red) * light * pixel[c] + red * hot[c]), 0L, 255L));
    }
  }
}

}  // namespace vlm
