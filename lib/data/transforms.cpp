#include "vlm/data/transforms.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/data/image_header.h"
#include "vlm/data/image_jpeg.h"

namespace vlm {

namespace preprocessing {

int64_t height_of(const std::vector<int64_t>& size) { return size.front(); }
int64_t width_of(const std::vector<int64_t>& size) { return size.back(); }

void require_size(const std::vector<int64_t>& size, const char* key) {
  bool good = size.size() == 1 || size.size() == 2;
  for (const int64_t side : size) good = good && side >= 1 && side <= 16384;
  if (!good) fail_usage("preprocess.", key, " must be one number or [height, width], each from 1 to 16384");
}

void require_choice(const std::string& value, const std::vector<std::string>& choices, const char* key) {
  if (std::find(choices.begin(), choices.end(), value) != choices.end()) return;
  fail_usage("preprocess.", key, " is '", value, "'", did_you_mean(value, choices), "; there are: ", join(choices, ", "));
}

PreprocessOptions checked(PreprocessOptions options) {
  require_size(options.size, "size");
  if (options.crop_size.empty()) options.crop_size = options.size;
  require_size(options.crop_size, "crop_size");
  require_choice(options.mode, {"RGB"}, "mode");
  require_choice(options.resize_mode, {"shortest", "longest", "squash", "none"}, "resize_mode");
  require_choice(options.convert, {"before", "after"}, "convert");
  require_choice(options.crop, {"torchvision", "hf", "none"}, "crop");
  if (options.fill_color < -1 || options.fill_color > 255) fail_usage("preprocess.fill_color must be a level, 0 to 255, or -1 for 0 after normalisation");
  return options;
}

Image drop_alpha(const Image& rgba) {
  Image rgb(rgba.height, rgba.width, 3);
  for (size_t i = 0, n = rgb.pixels.size() / 3; i < n; ++i) std::copy_n(&rgba.pixels[4 * i], 3, &rgb.pixels[3 * i]);
  return rgb;
}

Box scaled(const ImageSize& image, double ratio) {
  return {0, 0, static_cast<int64_t>(std::nearbyint(image.height / ratio)), static_cast<int64_t>(std::nearbyint(image.width / ratio))};
}

}  // namespace preprocessing

void PreprocessOptions::fields(Fields& f) {
  f.field("size", size, "height and width, or one number for a square");
  f.field("mode", mode, "colours that the model reads: RGB");
  f.field("mean", mean, "subtracted from each channel (levels from 0 to 1)");
  f.field("std", std, "each channel is divided by it");
  f.field("interpolation", interpolation, "nearest, bilinear, bicubic or lanczos");
  f.field("resize_mode", resize_mode, "shortest (then crop), longest (then pad), squash (to the size exactly) or none");
  f.field("fill_color", fill_color, "level of the padding of longest; -1: 0 after normalisation");
  f.field("convert", convert, "to RGB before the resize, or after it");
  f.field("crop", crop, "centre crop as torchvision or hf places it, or none");
  f.field("crop_size", crop_size, "as size; empty: size");
  f.field("rescale_factor", rescale_factor, "levels are multiplied by it");
  f.field("normalize", normalize, "subtract mean, divide by std");
}

Box shortest_edge_size(const ImageSize& image, int64_t n) {
  const int64_t h = image.height, w = image.width;
  if (h <= w) return {0, 0, n, h == n ? w : static_cast<int64_t>(static_cast<double>(n * w) / static_cast<double>(h))};
  return {0, 0, w == n ? h : static_cast<int64_t>(static_cast<double>(n * h) / static_cast<double>(w)), n};
}

Box fit_inside(const ImageSize& image, int64_t height, int64_t width) {
  return preprocessing::scaled(image, std::max(image.height / static_cast<double>(height), image.width / static_cast<double>(width)));
}

Box fit_around(const ImageSize& image, int64_t height, int64_t width) {
  return preprocessing::scaled(image, std::min(image.height / static_cast<double>(height), image.width / static_cast<double>(width)));
}

int64_t torchvision_crop_offset(int64_t length, int64_t n) {
  if (length < n) return -((n - length) / 2);
  return static_cast<int64_t>(std::nearbyint(static_cast<double>(length - n) / 2));
}

int64_t hf_crop_offset(int64_t length, int64_t n) {
  const int64_t difference = length - n;
  return difference >= 0 ? difference / 2 : -((1 - difference) / 2);
}

Normalizer::Normalizer(const std::vector<double>& mean, const std::vector<double>& std, double rescale_factor, bool normalize) {
  if (mean.size() != 3 || std.size() != 3) fail_usage("preprocess.mean and preprocess.std must have three numbers each");
  for (size_t c = 0; c < 3; ++c) {
    if (!(std[c] > 0)) fail_usage("preprocess.std must be positive");
    for (size_t v = 0; v < 256; ++v) {
      const auto level = static_cast<float>(static_cast<double>(v) * rescale_factor);
      tables_[c][v] = normalize ? (level - static_cast<float>(mean[c])) / static_cast<float>(std[c]) : level;
    }
  }
}

void Normalizer::write(const Image& rgb, float* out) const {
  if (rgb.channels != 3) fail("a picture of ", rgb.channels, " channels where RGB was expected");
  const size_t pixels = rgb.pixels.size() / 3;
  const uint8_t* in = rgb.pixels.data();
  float *red = out, *green = out + pixels, *blue = out + 2 * pixels;
  for (size_t i = 0; i < pixels; ++i, in += 3) {
    red[i] = tables_[0][in[0]];
    green[i] = tables_[1][in[1]];
    blue[i] = tables_[2][in[2]];
  }
}

Preprocess::Preprocess(const PreprocessOptions& options)
    : options_(preprocessing::checked(options)),
      height_(preprocessing::height_of(options_.crop == "none" ? options_.size : options_.crop_size)),
      width_(preprocessing::width_of(options_.crop == "none" ? options_.size : options_.crop_size)),
      filter_(filter_by_name(options_.interpolation)),
      normalizer_(options_.mean, options_.std, options_.rescale_factor, options_.normalize) {}

Preprocess::Geometry Preprocess::geometry(const ImageSize& picture) const {
  const int64_t th = preprocessing::height_of(options_.size), tw = preprocessing::width_of(options_.size);
  Box resized{0, 0, th, tw};
  if (options_.resize_mode == "shortest") resized = th == tw ? shortest_edge_size(picture, th) : fit_around(picture, th, tw);
  if (options_.resize_mode == "longest") resized = fit_inside(picture, th, tw);
  if (options_.resize_mode == "none") resized = {0, 0, picture.height, picture.width};
  Geometry g;
  g.height = std::max<int64_t>(resized.height, 1);  // a very long strip would vanish
  g.width = std::max<int64_t>(resized.width, 1);
  g.window = {0, 0, g.height, g.width};
  if (options_.crop != "none") {
    const auto offset = options_.crop == "hf" ? hf_crop_offset : torchvision_crop_offset;
    g.window = {offset(g.height, height_), offset(g.width, width_), height_, width_};
  }
  if (options_.resize_mode == "longest") g.fill = static_cast<uint8_t>(std::max<int64_t>(options_.fill_color, 0));
  return g;
}

ImageSize Preprocess::output_size(const ImageSize& picture) const {
  const Box window = geometry(picture).window;
  return {static_cast<int>(window.height), static_cast<int>(window.width)};
}

PicturePlacement Preprocess::placement(const ImageSize& picture) const {
  const Geometry g = geometry(picture);
  const auto ratio = [](int64_t to, int from) { return static_cast<float>(static_cast<double>(to) / from); };
  return {picture, ratio(g.width, picture.width), ratio(g.height, picture.height), static_cast<float>(g.window.left), static_cast<float>(g.window.top)};
}

Image Preprocess::resize_with(const Image& image, Filter filter, bool premultiplied) const {
  const Geometry g = geometry({image.height, image.width});
  const Box& w = g.window;
  Box inner;
  inner.top = std::max<int64_t>(w.top, 0), inner.left = std::max<int64_t>(w.left, 0);
  inner.height = std::min(w.top + w.height, g.height) - inner.top;
  inner.width = std::min(w.left + w.width, g.width) - inner.left;
  if (inner.height > 32768 || inner.width > 32768) {
    fail("a picture of ", image.width, " x ", image.height, " pixels would become ", inner.width, " x ", inner.height, "; crop it or squash it");
  }
  const Image part = premultiplied ? resize_window_rgba(image, g.height, g.width, inner, filter) : resize_window(image, g.height, g.width, inner, filter);
  if (inner.height == w.height && inner.width == w.width) return part;
  return crop_or_pad(part, {w.top - inner.top, w.left - inner.left, w.height, w.width}, g.fill);
}

Image Preprocess::resize(const Image& image) const {
  // open_clip keeps the ratio of a target that is no square with bicubic only.
  const bool rectangle = options_.resize_mode == "shortest" && preprocessing::height_of(options_.size) != preprocessing::width_of(options_.size);
  const Filter filter = rectangle && filter_ != Filter::nearest ? Filter::bicubic : filter_;
  if (image.channels == 4) return preprocessing::drop_alpha(resize_with(image, filter, true));
  return resize_with(image, filter, false);
}

Image Preprocess::resize(std::string_view file, const DecodeOptions& decode) const {
  if (options_.convert == "before" || decode.alpha != Alpha::drop) return resize(decode_image(file, decode));
  const ImageHeader header = read_image_header(file);
  switch (header.mode) {
    case ColorMode::indexed:
    case ColorMode::bilevel: return resize_with(decode_image(file, decode), Filter::nearest, false);
    case ColorMode::gray_alpha:
    case ColorMode::rgba: {
      DecodeOptions with_alpha = decode;
      with_alpha.alpha = Alpha::keep;
      return resize(decode_image(file, with_alpha));
    }
    case ColorMode::cmyk: {
      if (static_cast<int64_t>(header.size.height) * header.size.width > decode.max_pixels) break;
      const Image inks = decode_jpeg_cmyk(file, decode);
      const int orientation = decode.exif == Exif::apply ? exif_orientation(header.exif) : 1;
      return cmyk_to_rgb(resize_with(orient_image(inks, orientation), filter_, false));
    }
    default: break;
  }
  return resize(decode_image(file, decode));
}

namespace preprocessing {

/// Sets what lies outside of the resized picture, whose corner stands at (left, top), to 0.
void clear_padding(float* out, const ImageSize& size, const ImageSize& resized, int64_t left, int64_t top) {
  for (int64_t y = 0; y < 3 * size.height; ++y) {
    float* row = out + y * size.width;
    const int64_t line = y % size.height - top;
    const bool inside = line >= 0 && line < resized.height;
    const int64_t from = inside ? std::clamp<int64_t>(left, 0, size.width) : size.width, to = inside ? std::clamp<int64_t>(left + resized.width, from, size.width) : size.width;
    std::fill(row, row + from, 0.0F);
    std::fill(row + to, row + size.width, 0.0F);
  }
}

}  // namespace preprocessing

void Preprocess::write_resized(const Image& resized, const ImageSize& picture, float* out) const {
  normalizer_.write(resized, out);
  if (options_.fill_color >= 0) return;
  const Geometry g = geometry(picture);
  preprocessing::clear_padding(out, {resized.height, resized.width}, {static_cast<int>(g.height), static_cast<int>(g.width)}, -g.window.left, -g.window.top);
}

void Preprocess::write(const Image& image, float* out) const { write_resized(resize(image), {image.height, image.width}, out); }

void Preprocess::write(std::string_view file, const DecodeOptions& decode, float* out) const {
  if (options_.fill_color < 0) return write(decode_image(file, decode), out);
  normalizer_.write(resize(file, decode), out);
}

at::Tensor Preprocess::operator()(const Image& image) const {
  const Image resized = resize(image);
  at::Tensor out = at::empty({3, resized.height, resized.width}, at::kFloat);
  write_resized(resized, {image.height, image.width}, out.mutable_data_ptr<float>());
  return out;
}

at::Tensor Preprocess::operator()(std::string_view file, const DecodeOptions& decode) const {
  if (options_.fill_color < 0) return (*this)(decode_image(file, decode));
  const Image resized = resize(file, decode);
  at::Tensor out = at::empty({3, resized.height, resized.width}, at::kFloat);
  normalizer_.write(resized, out.mutable_data_ptr<float>());
  return out;
}

}  // namespace vlm
