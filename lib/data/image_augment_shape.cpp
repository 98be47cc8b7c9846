#include <algorithm>
#include <cmath>
#include <cstring>

#include "vlm/core/error.h"
#include "vlm/core/registry.h"
#include "vlm/data/image_augment.h"

namespace vlm {

namespace augment_shape {

void require_rgb(const Image& image) {
  if (image.channels != 3) fail("a picture of ", image.channels, " channels cannot be augmented; make it RGB first");
}

int64_t fixed(double value) { return static_cast<int64_t>(std::floor(value * 65536 + 0.5)); }

Image nearest(const Image& image, const std::array<double, 6>& c, const std::array<uint8_t, 3>& fill) {
  Image out(image.height, image.width, 3);
  const int64_t du_x = fixed(c[0]), du_y = fixed(c[1]), dv_x = fixed(c[3]), dv_y = fixed(c[4]);
  int64_t u_row = fixed(c[2] + 0.5 * (c[0] + c[1])), v_row = fixed(c[5] + 0.5 * (c[3] + c[4]));
  for (int y = 0; y < out.height; ++y, u_row += du_y, v_row += dv_y) {
    int64_t u = u_row, v = v_row;
    uint8_t* to = out.row(y);
    for (int x = 0; x < out.width; ++x, u += du_x, v += dv_x, to += 3) {
      const int64_t from_x = u >> 16, from_y = v >> 16;
      const bool inside = from_x >= 0 && from_x < image.width && from_y >= 0 && from_y < image.height;
      std::memcpy(to, inside ? image.row(static_cast<int>(from_y)) + from_x * 3 : fill.data(), 3);
    }
  }
  return out;
}

Image bilinear(const Image& image, const std::array<double, 6>& c, const std::array<uint8_t, 3>& fill) {
  Image out(image.height, image.width, 3);
  const auto pixel = [&](int64_t y, int64_t x) {
    return x >= 0 && x < image.width && y >= 0 && y < image.height ? image.row(static_cast<int>(y)) + x * 3 : fill.data();
  };
  for (int y = 0; y < out.height; ++y) {
    uint8_t* to = out.row(y);
    for (int x = 0; x < out.width; ++x, to += 3) {
      const double u = c[0] * (x + 0.5) + c[1] * (y + 0.5) + c[2] - 0.5, v = c[3] * (x + 0.5) + c[4] * (y + 0.5) + c[5] - 0.5;
      const auto left = static_cast<int64_t>(std::floor(u)), top = static_cast<int64_t>(std::floor(v));
      const double right = u - static_cast<double>(left), down = v - static_cast<double>(top);
      const uint8_t *a = pixel(top, left), *b = pixel(top, left + 1), *d = pixel(top + 1, left), *e = pixel(top + 1, left + 1);
      for (int k = 0; k < 3; ++k) {
        const double upper = a[k] + right * (b[k] - a[k]), lower = d[k] + right * (e[k] - d[k]);
        to[k] = static_cast<uint8_t>(upper + down * (lower - upper) + 0.5);
      }
    }
  }
  return out;
}

using Operation = Image (*)(const Image&, double, const WarpOptions&);

const Registry<Operation>& operations() {
  static const auto table = [] {
    Registry<Operation> all("augmentation");
    all.add("Identity", [](const Image& i, double, const WarpOptions&) { return i; });
    all.add("ShearX", [](const Image& i, double m, const WarpOptions& o) { return shear_x(i, m, o); });
    all.add("ShearY", [](const Image& i, double m, const WarpOptions& o) { return shear_y(i, m, o); });
    all.add("TranslateX", [](const Image& i, double m, const WarpOptions& o) { return translate(i, static_cast<int>(m), 0, o); });
    all.add("TranslateY", [](const Image& i, double m, const WarpOptions& o) { return translate(i, 0, static_cast<int>(m), o); });
    all.add("Rotate", [](const Image& i, double m, const WarpOptions& o) { return rotate(i, m, o); });
    all.add("Brightness", [](const Image& i, double m, const WarpOptions&) { return adjust_brightness(i, 1 + m); });
    all.add("Color", [](const Image& i, double m, const WarpOptions&) { return adjust_saturation(i, 1 + m); });
    all.add("Contrast", [](const Image& i, double m, const WarpOptions&) { return adjust_contrast(i, 1 + m); });
    all.add("Sharpness", [](const Image& i, double m, const WarpOptions&) { return adjust_sharpness(i, 1 + m); });
    all.add("Posterize", [](const Image& i, double m, const WarpOptions&) { return posterize(i, static_cast<int>(m)); });
    all.add("Solarize", [](const Image& i, double m, const WarpOptions&) { return solarize(i, m); });
    all.add("AutoContrast", [](const Image& i, double, const WarpOptions&) { return autocontrast(i); });
    all.add("Equalize", [](const Image& i, double, const WarpOptions&) { return equalize(i); });
    all.add("Invert", [](const Image& i, double, const WarpOptions&) { return solarize(i, 0); });
    return all;
  }();
  return table;
}

}  // namespace augment_shape

Image flip_horizontal(const Image& image) { return orient_image(image, 2); }

Image warp_affine(const Image& image, const std::array<double, 6>& c, const WarpOptions& options) {
  augment_shape::require_rgb(image);
  if (options.interpolation == Filter::nearest) return augment_shape::nearest(image, c, options.fill);
  if (options.interpolation == Filter::bilinear) return augment_shape::bilinear(image, c, options.fill);
  fail_usage("pictures are moved with nearest or bilinear interpolation");
}

Image translate(const Image& image, int right, int down, const WarpOptions& options) {
  return warp_affine(image, {1, 0, static_cast<double>(-right), 0, 1, static_cast<double>(-down)}, options);
}

Image shear_x(const Image& image, double amount, const WarpOptions& options) { return warp_affine(image, {1, amount, 0, 0, 1, 0}, options); }
Image shear_y(const Image& image, double amount, const WarpOptions& options) { return warp_affine(image, {1, 0, 0, amount, 1, 0}, options); }

Image rotate(const Image& image, double degrees, const WarpOptions& options) {
  const double angle = degrees * M_PI / 180, cosine = std::cos(angle), sine = std::sin(angle);
  const double x = image.width / 2.0, y = image.height / 2.0;
  return warp_affine(image, {cosine, -sine, x - cosine * x + sine * y, sine, cosine, y - sine * x - cosine * y}, options);
}

Image augment_by_name(const Image& image, const std::string& name, double magnitude, const WarpOptions& options) {
  return augment_shape::operations().get(name)(image, magnitude, options);
}

std::vector<std::string> augment_names() { return augment_shape::operations().names(); }

}  // namespace vlm
