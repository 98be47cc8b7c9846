#include <algorithm>
#include <cmath>

#include "vlm/core/error.h"
#include "vlm/data/image_augment.h"

namespace vlm {

namespace augment_blur {

constexpr int passes = 3;

/// Half width of the box, not a whole number, whose `passes`-fold filter has the Gaussian's variance (Gwosdek et al., Theoretical
/// foundations of Gaussian convolution by extended box filtering, 2011).
float box_radius(float sigma) {
  const float variance = sigma * sigma / passes;
  const float whole = std::floor((std::sqrt(12.0F * variance + 1.0F) - 1.0F) / 2.0F);
  const float rest = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance);
  return whole + rest / (6 * (variance - (whole + 1) * (whole + 1)));
}

/// One pass over a line: the mean of the window, the pixels at its two ends in part; ends of the line
/// repeat. In fixed point of 24 bits.
void filter_line(const uint8_t* in, uint8_t* out, int count, float radius) {
  const int reach = static_cast<int>(radius);
  const auto full = static_cast<uint32_t>(static_cast<float>(1 << 24) / (radius * 2 + 1));
  const uint32_t part = ((1U << 24) - static_cast<uint32_t>(reach * 2 + 1) * full) / 2;
  const auto at = [&](int i) { return static_cast<uint32_t>(in[std::clamp(i, 0, count - 1)]); };
  uint32_t sum = 0;
  for (int i = -reach; i <= reach; ++i) sum += at(i);
  for (int i = 0; i < count; ++i) {
    out[i] = static_cast<uint8_t>((sum * full + (at(i - reach - 1) + at(i + reach + 1)) * part + (1U << 23)) >> 24);
    sum += at(i + reach + 1) - at(i - reach);
  }
}

/// All passes over a line that lies `stride` apart in `pixels`.
void filter_strided(uint8_t* pixels, int count, size_t stride, float radius, std::vector<uint8_t>& a, std::vector<uint8_t>& b) {
  a.resize(static_cast<size_t>(count)), b.resize(static_cast<size_t>(count));
  for (size_t i = 0; i < a.size(); ++i) a[i] = pixels[i * stride];
  for (int pass = 0; pass < passes; ++pass) {
    filter_line(a.data(), b.data(), count, radius);
    a.swap(b);
  }
  for (size_t i = 0; i < a.size(); ++i) pixels[i * stride] = a[i];
}

}  // namespace augment_blur

Image gaussian_blur(const Image& image, double sigma) {
  if (image.channels != 3) fail("a picture of ", image.channels, " channels cannot be blurred; make it RGB first");
  if (!(sigma >= 0)) fail("a Gaussian's sigma must not be negative, and is ", sigma);
  Image out = image;
  if (sigma == 0 || image.pixels.empty()) return out;
  const float radius = augment_blur::box_radius(static_cast<float>(sigma));
  std::vector<uint8_t> a, b;
  for (int y = 0; y < out.height; ++y) {
    for (size_t c = 0; c < 3; ++c) augment_blur::filter_strided(out.row(y) + c, out.width, 3, radius, a, b);
  }
  const auto across = static_cast<size_t>(out.width) * 3;
  for (size_t x = 0; x < across; ++x) augment_blur::filter_strided(out.pixels.data() + x, out.height, across, radius, a, b);
  return out;
}

}  // namespace vlm
