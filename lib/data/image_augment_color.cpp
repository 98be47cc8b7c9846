#include <algorithm>
#include <array>
#include <cmath>

#include "vlm/core/error.h"
#include "vlm/data/image_augment.h"

namespace vlm {

namespace augment_color {

void require_rgb(const Image& image) {
  if (image.channels != 3) fail("a picture of ", image.channels, " channels cannot be augmented; make it RGB first");
}

uint8_t luma(const uint8_t* p) { return static_cast<uint8_t>((19595 * p[0] + 38470 * p[1] + 7471 * p[2] + 32768) >> 16); }

/// a + factor (b - a) in float32, cut to a level.
uint8_t blend(int a, int b, float factor) {
  const float value = static_cast<float>(a) + factor * static_cast<float>(b - a);
  return value <= 0 ? uint8_t(0) : value >= 255 ? uint8_t(255) : static_cast<uint8_t>(value);
}

/// Every level through one table a channel.
using Tables = std::array<std::array<uint8_t, 256>, 3>;
Image look_up(const Image& image, const Tables& tables) {
  require_rgb(image);
  Image out(image.height, image.width, 3);
  for (size_t i = 0; i < out.pixels.size(); i += 3) {
    for (size_t c = 0; c < 3; ++c) out.pixels[i + c] = tables[c][image.pixels[i + c]];
  }
  return out;
}

template <class Level>
Image map_levels(const Image& image, const Level& level) {
  Tables tables;
  for (int v = 0; v < 256; ++v) tables[0][size_t(v)] = static_cast<uint8_t>(level(v));
  tables[1] = tables[2] = tables[0];
  return look_up(image, tables);
}

using Histogram = std::array<int64_t, 256>;
std::array<Histogram, 3> histograms(const Image& image) {
  require_rgb(image);
  std::array<Histogram, 3> counts = {};
  for (size_t i = 0; i < image.pixels.size(); i += 3) {
    for (size_t c = 0; c < 3; ++c) ++counts[c][image.pixels[i + c]];
  }
  return counts;
}

struct Hsv {
  uint8_t h, s, v;
};

Hsv to_hsv(int r, int g, int b) {
  const int most = std::max({r, g, b}), range = most - std::min({r, g, b});
  if (range == 0) return {0, 0, static_cast<uint8_t>(most)};
  const auto delta = static_cast<float>(range);
  const float saturation = delta / static_cast<float>(most);
  const float rc = static_cast<float>(most - r) / delta, gc = static_cast<float>(most - g) / delta, bc = static_cast<float>(most - b) / delta;
  float hue = r == most ? bc - gc : g == most ? static_cast<float>(2.0 + rc - bc) : static_cast<float>(4.0 + gc - rc);
  hue = static_cast<float>(std::fmod(hue / 6.0 + 1.0, 1.0));
  return {static_cast<uint8_t>(std::clamp(static_cast<int>(hue * 255.0), 0, 255)),
          static_cast<uint8_t>(std::clamp(static_cast<int>(saturation * 255.0), 0, 255)), static_cast<uint8_t>(most)};
}

void to_rgb(const Hsv& hsv, uint8_t* out) {
  if (hsv.s == 0) {
    out[0] = out[1] = out[2] = hsv.v;
    return;
  }
  const int sector = static_cast<int>(std::floor(static_cast<float>(hsv.h) * 6.0 / 255.0));
  const auto f = static_cast<float>(hsv.h * 6.0 / 255.0 - sector), s = static_cast<float>(hsv.s / 255.0);
  const auto level = [&](double part) { return static_cast<uint8_t>(std::clamp(static_cast<int>(std::floor(hsv.v * part + 0.5)), 0, 255)); };
  const uint8_t v = hsv.v, p = level(1.0 - s), q = level(1.0 - s * f), t = level(1.0 - s * (1.0 - f));
  const std::array<uint8_t, 3> sectors[6] = {{v, t, p}, {q, v, p}, {p, v, t}, {p, q, v}, {t, p, v}, {v, p, q}};
  std::copy_n(sectors[sector % 6].begin(), 3, out);
}

}  // namespace augment_color

Image adjust_brightness(const Image& image, double factor) {
  return augment_color::map_levels(image, [f = static_cast<float>(factor)](int v) { return augment_color::blend(0, v, f); });
}

Image adjust_contrast(const Image& image, double factor) {
  augment_color::require_rgb(image);
  int64_t sum = 0;
  for (size_t i = 0; i < image.pixels.size(); i += 3) sum += augment_color::luma(&image.pixels[i]);
  const auto pixels = static_cast<double>(std::max<size_t>(image.pixels.size() / 3, 1));
  const int mean = static_cast<int>(static_cast<double>(sum) / pixels + 0.5);
  return augment_color::map_levels(image, [&, f = static_cast<float>(factor)](int v) { return augment_color::blend(mean, v, f); });
}

Image adjust_saturation(const Image& image, double factor) {
  augment_color::require_rgb(image);
  Image out = image;
  for (size_t i = 0; i < out.pixels.size(); i += 3) {
    const int gray = augment_color::luma(&image.pixels[i]);
    for (size_t c = 0; c < 3; ++c) out.pixels[i + c] = augment_color::blend(gray, image.pixels[i + c], static_cast<float>(factor));
  }
  return out;
}

Image adjust_hue(const Image& image, double turn) {
  augment_color::require_rgb(image);
  const int shift = static_cast<int>(turn * 255);
  Image out(image.height, image.width, 3);
  for (size_t i = 0; i < out.pixels.size(); i += 3) {
    const uint8_t* p = &image.pixels[i];
    auto hsv = augment_color::to_hsv(p[0], p[1], p[2]);
    hsv.h = static_cast<uint8_t>(hsv.h + shift);
    augment_color::to_rgb(hsv, &out.pixels[i]);
  }
  return out;
}

Image adjust_sharpness(const Image& image, double factor) {
  augment_color::require_rgb(image);
  Image out = image;
  for (int y = 1; y + 1 < image.height; ++y) {
    const uint8_t *above = image.row(y - 1), *here = image.row(y), *below = image.row(y + 1);
    for (int x = 3; x < (image.width - 1) * 3; ++x) {
      const int sum = above[x - 3] + above[x] + above[x + 3] + here[x - 3] + 5 * here[x] + here[x + 3] + below[x - 3] + below[x] + below[x + 3];
      out.row(y)[x] = augment_color::blend((2 * sum + 13) / 26, here[x], static_cast<float>(factor));
    }
  }
  return out;
}

Image to_grayscale(const Image& image) {
  augment_color::require_rgb(image);
  Image out(image.height, image.width, 3);
  for (size_t i = 0; i < out.pixels.size(); i += 3) {
    out.pixels[i] = out.pixels[i + 1] = out.pixels[i + 2] = augment_color::luma(&image.pixels[i]);
  }
  return out;
}

Image posterize(const Image& image, int bits) {
  if (bits < 0 || bits > 8) fail("posterize keeps 0 to 8 bits, not ", bits);
  const int mask = 0xFF & ~((1 << (8 - bits)) - 1);
  return augment_color::map_levels(image, [mask](int v) { return v & mask; });
}

Image solarize(const Image& image, double threshold) {
  return augment_color::map_levels(image, [threshold](int v) { return v < threshold ? v : 255 - v; });
}

Image autocontrast(const Image& image) {
  augment_color::Tables tables;
  const auto counts = augment_color::histograms(image);
  for (size_t c = 0; c < 3; ++c) {
    int low = 0, high = 255;
    while (low < 255 && counts[c][size_t(low)] == 0) ++low;
    while (high > 0 && counts[c][size_t(high)] == 0) --high;
    const double scale = high > low ? 255.0 / (high - low) : 1, offset = high > low ? -low * scale : 0;
    for (int v = 0; v < 256; ++v) tables[c][size_t(v)] = static_cast<uint8_t>(std::clamp(static_cast<int>(v * scale + offset), 0, 255));
  }
  return augment_color::look_up(image, tables);
}

Image equalize(const Image& image) {
  augment_color::Tables tables;
  const auto counts = augment_color::histograms(image);
  for (size_t c = 0; c < 3; ++c) {
    int64_t pixels = 0, last = 0;
    for (const int64_t count : counts[c]) {
      pixels += count;
      if (count > 0) last = count;
    }
    const int64_t step = (pixels - last) / 255;
    int64_t sum = step / 2;
    for (size_t v = 0; v < 256; ++v) {
      tables[c][v] = static_cast<uint8_t>(step == 0 ? static_cast<int64_t>(v) : std::min<int64_t>(255, sum / step));
      sum += counts[c][v];
    }
  }
  return augment_color::look_up(image, tables);
}

}  // namespace vlm
