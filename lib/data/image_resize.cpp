#include <algorithm>
#include <array>
#include <cmath>
#include <memory>

#include "vlm/core/error.h"
#include "vlm/core/registry.h"
#include "vlm/data/image.h"
#include "vlm/data/image_resample.h"

namespace vlm {

namespace resizing {

using resample::Taps;

double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

double bilinear(double x) { return std::max(0.0, 1 - std::abs(x)); }

double sinc(double x) { return x == 0 ? 1 : std::sin(x * M_PI) / (x * M_PI); }
double lanczos(double x) { return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0; }

struct Kernel {
  double (*value)(double);
  double support;
};

Kernel kernel_of(Filter filter) {
  switch (filter) {
    case Filter::bilinear: return {bilinear, 1};
    case Filter::lanczos: return {lanczos, 3};
    default: return {bicubic, 2};
  }
}

/// Taps of the outputs begin .. begin+count-1 of an axis resized from `in` to `out` positions.
Taps make_taps(int64_t in, int64_t out, int64_t begin, int64_t count, const Kernel& kernel) {
  const double scale = static_cast<double>(in) / static_cast<double>(out), filter_scale = std::max(scale, 1.0);
  const double support = kernel.support * filter_scale, inverse = 1 / filter_scale;
  const int most = static_cast<int>(std::ceil(support)) * 2 + 1;
  Taps taps;
  taps.stride = (most + 3) / 4 * 4;
  const auto outputs = static_cast<size_t>(count);
  taps.first.resize(outputs);
  taps.used.resize(outputs);
  taps.weights.assign(outputs * static_cast<size_t>(taps.stride), 0);
  std::vector<double> values(static_cast<size_t>(most) + 1);
  for (size_t o = 0; o < outputs; ++o) {
    const double center = (static_cast<double>(begin + static_cast<int64_t>(o)) + 0.5) * scale;
    const auto low = std::max<int64_t>(static_cast<int64_t>(center - support + 0.5), 0);
    const auto high = std::min<int64_t>(static_cast<int64_t>(center + support + 0.5), in);
    const auto n = static_cast<size_t>(high - low);
    double total = 0;
    for (size_t i = 0; i < n; ++i) {
      values[i] = kernel.value((static_cast<double>(static_cast<int64_t>(i) + low) - center + 0.5) * inverse);
      total += values[i];
    }
    int32_t* weights = &taps.weights[o * static_cast<size_t>(taps.stride)];
    for (size_t i = 0; i < n; ++i) {
      const double weight = total != 0 ? values[i] / total : values[i];
      weights[i] = static_cast<int32_t>(weight * (1 << resample::precision_bits) + (weight < 0 ? -0.5 : 0.5));
    }
    taps.first[o] = static_cast<int32_t>(low);
    taps.used[o] = static_cast<int32_t>(n);
  }
  return taps;
}

/// Source positions of nearest-neighbour resizing; positions are summed up, as Pillow does, which decides ties.
std::vector<int64_t> nearest_positions(int64_t in, int64_t out, int64_t begin, int64_t count) {
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  std::vector<int64_t> positions(static_cast<size_t>(count));
  // Far out there is no telling, and no waiting for, what a long sum comes to.
  const int64_t start = begin > 1'000'000 ? begin : 0;
  double at = (static_cast<double>(start) + 0.5) * scale;
  for (int64_t o = start; o < begin + count; ++o, at += scale) {
    if (o >= begin) positions[static_cast<size_t>(o - begin)] = std::min(static_cast<int64_t>(at), in - 1);
  }
  return positions;
}

/// Rows of bytes with room behind each one.
struct Rows {
  Rows(int64_t count, int64_t bytes) : stride(bytes + resample::read_beyond), bytes(new uint8_t[size_t(count) * size_t(stride)]) {}
  uint8_t* row(int64_t y) { return bytes.get() + size_t(y) * size_t(stride); }
  int64_t stride;
  std::unique_ptr<uint8_t[]> bytes;
};

/// A part of a picture, not copied.
struct View {
  const Image& image;
  Box box;
  const uint8_t* row(int64_t y) const {
    return image.row(static_cast<int>(box.top + y)) + size_t(box.left) * size_t(image.channels);
  }
  /// Bytes of the picture from the beginning of the view's row on.
  int64_t bytes_from(int64_t y) const { return image.pixels.data() + image.pixels.size() - row(y); }
};

/// Rows begin .. begin+count-1 of `view`, resized horizontally.
Rows horizontal_pass(const View& view, int64_t begin, int64_t count, const Taps& taps) {
  const int channels = view.image.channels;
  const int64_t in_bytes = view.box.width * channels;
  Rows result(count, static_cast<int64_t>(taps.first.size()) * channels), copies(4, in_bytes);
  const auto pass = resample::have_avx2() ? resample::horizontal_avx2 : resample::horizontal_plain;
  for (int64_t y = 0; y < count; y += 4) {
    const uint8_t* in[4];
    uint8_t* out[4];
    for (int64_t r = 0; r < 4; ++r) {
      const int64_t from = std::min(y + r, count - 1);  // the last rows stand in for missing ones
      in[r] = view.row(begin + from);
      out[r] = result.row(from);
      if (view.bytes_from(begin + from) < in_bytes + resample::read_beyond) {
        std::copy_n(in[r], in_bytes, copies.row(r));
        std::fill_n(copies.row(r) + in_bytes, resample::read_beyond, uint8_t(0));
        in[r] = copies.row(r);
      }
    }
    pass(in, out, channels, taps);
  }
  return result;
}

Image nearest(const View& view, int64_t height, int64_t width, const Box& window) {
  Image out(static_cast<int>(window.height), static_cast<int>(window.width), view.image.channels);
  const auto ys = nearest_positions(view.box.height, height, window.top, window.height);
  const auto xs = nearest_positions(view.box.width, width, window.left, window.width);
  const auto channels = static_cast<size_t>(view.image.channels);
  for (int y = 0; y < out.height; ++y) {
    const uint8_t* in = view.row(ys[size_t(y)]);
    uint8_t* to = out.row(y);
    for (const int64_t x : xs) to = std::copy_n(in + size_t(x) * channels, channels, to);
  }
  return out;
}

/// The part `window` of the view resized to height x width.
Image resize(const View& view, int64_t height, int64_t width, const Box& window, Filter filter) {
  const int channels = view.image.channels;
  if (channels != 3 && channels != 4) fail("a picture of ", channels, " channels cannot be resized");
  if (height <= 0 || width <= 0) fail("a picture cannot be resized to ", width, " x ", height, " pixels");
  if (view.box.height <= 0 || view.box.width <= 0) fail("an empty picture cannot be resized");
  if (window.top < 0 || window.left < 0 || window.height <= 0 || window.width <= 0 || window.top > height - window.height ||
      window.left > width - window.width || std::max(window.height, window.width) > (1 << 30)) {
    fail("the part of ", window.width, " x ", window.height, " pixels at (", window.left, ", ", window.top,
         ") does not lie inside a picture of ", width, " x ", height);
  }
  if (filter == Filter::nearest) return nearest(view, height, width, window);
  const Kernel kernel = kernel_of(filter);
  const bool across = width != view.box.width, down = height != view.box.height;
  if (!across && !down) {
    return crop_or_pad(view.image, {view.box.top + window.top, view.box.left + window.left, window.height, window.width}, 0);
  }

  Taps columns, lines;
  int64_t first_row = window.top, last_row = window.top + window.height;  // of the view
  if (down) {
    lines = make_taps(view.box.height, height, window.top, window.height, kernel);
    if (resample::have_avx2()) resample::pair(lines);
    first_row = lines.first.front(), last_row = lines.first.back() + lines.used.back();
    for (size_t o = 0; o < lines.first.size(); ++o) {
      first_row = std::min<int64_t>(first_row, lines.first[o]);
      last_row = std::max<int64_t>(last_row, lines.first[o] + lines.used[o]);
    }
  }
  std::vector<const uint8_t*> rows(static_cast<size_t>(last_row - first_row));
  Rows resized(0, 0);
  if (across) {
    columns = make_taps(view.box.width, width, window.left, window.width, kernel);
    if (resample::have_avx2()) resample::widen(columns);
    resized = horizontal_pass(view, first_row, last_row - first_row, columns);
  }
  for (size_t y = 0; y < rows.size(); ++y) {
    rows[y] = across ? resized.row(static_cast<int64_t>(y)) : view.row(first_row + static_cast<int64_t>(y)) + size_t(window.left) * size_t(channels);
  }

  Image out(static_cast<int>(window.height), static_cast<int>(window.width), channels);
  const int64_t bytes = window.width * channels;
  const auto pass = resample::have_avx2() ? resample::vertical_avx2 : resample::vertical_plain;
  for (int y = 0; y < out.height; ++y) {
    if (!down) {
      std::copy_n(rows[size_t(y)], bytes, out.row(y));
    } else {
      const auto o = static_cast<size_t>(y);
      pass(&rows[size_t(lines.first[o] - first_row)], lines, o, bytes, out.row(y));
    }
  }
  return out;
}

}  // namespace resizing

Filter filter_by_name(const std::string& name) {
  static const auto filters = [] {
    Registry<Filter> all("interpolation");
    all.add("nearest", Filter::nearest);
    all.add("bilinear", Filter::bilinear);
    all.add("bicubic", Filter::bicubic);
    all.add("lanczos", Filter::lanczos);
    return all;
  }();
  return filters.get(name);
}

Image resize_image(const Image& image, int height, int width, Filter filter) {
  return resizing::resize({image, {0, 0, image.height, image.width}}, height, width, {0, 0, height, width}, filter);
}

Image resize_crop(const Image& image, const Box& box, int height, int width, Filter filter) {
  if (box.top < 0 || box.left < 0 || box.height <= 0 || box.width <= 0 || box.top > image.height - box.height || box.left > image.width - box.width) {
    fail("a crop of ", box.width, " x ", box.height, " pixels at (", box.left, ", ", box.top, ") does not lie inside a picture of ",
         image.width, " x ", image.height);
  }
  return resizing::resize({image, box}, height, width, {0, 0, height, width}, filter);
}

Image resize_window(const Image& image, int64_t height, int64_t width, const Box& window, Filter filter) {
  return resizing::resize({image, {0, 0, image.height, image.width}}, height, width, window, filter);
}

Image resize_window_rgba(const Image& image, int64_t height, int64_t width, const Box& window, Filter filter) {
  if (image.channels != 4) fail("a picture of ", image.channels, " channels has no alpha channel");
  if (filter == Filter::nearest) return resize_window(image, height, width, window, filter);
  Image premultiplied = image;
  for (size_t i = 0; i < premultiplied.pixels.size(); i += 4) {
    uint8_t* pixel = &premultiplied.pixels[i];
    for (int c = 0; c < 3; ++c) pixel[c] = multiply_div255(pixel[c], pixel[3]);
  }
  Image out = resize_window(premultiplied, height, width, window, filter);
  for (size_t i = 0; i < out.pixels.size(); i += 4) {
    uint8_t* pixel = &out.pixels[i];
    const int alpha = pixel[3];
    if (alpha == 0 || alpha == 255) continue;
    for (int c = 0; c < 3; ++c) pixel[c] = static_cast<uint8_t>(std::min(255, 255 * pixel[c] / alpha));
  }
  return out;
}

}  // namespace vlm
