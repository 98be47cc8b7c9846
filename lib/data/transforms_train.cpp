#include "vlm/data/transforms_train.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "vlm/core/error.h"
#include "vlm/data/image_augment.h"

namespace vlm {

namespace training_transform {

void require_range(const std::vector<double>& range, double most, const char* key) {
  if (range.size() == 2 && range[0] > 0 && range[0] <= range[1] && range[1] <= most) return;
  fail_usage("augment.", key, " must be two positive numbers, the smaller first", most <= 1 ? ", at most 1" : "");
}

void require_probability(double p, const char* key) {
  if (!(p >= 0 && p <= 1)) fail_usage("augment.", key, " must be a probability, 0 to 1");
}

TrainTransformOptions checked(TrainTransformOptions o, const PreprocessOptions& evaluation) {
  if (o.size.empty()) o.size = evaluation.crop_size.empty() || evaluation.crop == "none" ? evaluation.size : evaluation.crop_size;
  bool good = o.size.size() <= 2;
  for (const int64_t side : o.size) good = good && side >= 1 && side <= 16384;
  if (!good) fail_usage("augment.size must be one number or [height, width], each from 1 to 16384");
  require_range(o.scale, 1, "scale");
  require_range(o.ratio, 1e6, "ratio");
  require_probability(o.hflip_prob, "hflip_prob");
  require_probability(o.color_jitter_prob, "color_jitter_prob");
  require_probability(o.gray_scale_prob, "gray_scale_prob");
  require_probability(o.blur_prob, "blur_prob");
  require_range(o.blur_sigma, 1e3, "blur_sigma");
  require_probability(o.rand_augment_prob, "rand_augment_prob");
  good = o.color_jitter.empty() || (o.color_jitter.size() == 4 && o.color_jitter[3] <= 0.5);
  for (const double x : o.color_jitter) good = good && x >= 0;
  if (!good) fail_usage("augment.color_jitter must be four strengths: brightness, contrast, saturation, hue (at most 0.5)");
  if (o.rand_augment < 0 || o.rand_augment_level < 0 || o.rand_augment_level > 10) {
    fail_usage("augment.rand_augment must not be negative, augment.rand_augment_level must be 0 to 10");
  }
  if (o.squash && o.pad_square) fail_usage("augment.squash and augment.pad_square exclude each other: pictures are squashed, or padded");
  if (o.shift < 0 || o.shift > std::min(o.size.front(), o.size.back())) fail_usage("augment.shift must be from 0 to the picture's size");
  return o;
}

}  // namespace training_transform

void TrainTransformOptions::fields(Fields& f) {
  f.field("size", size, "height and width, or one number for a square; empty: the size of evaluation");
  f.field("scale", scale, "random crop: least and largest share of the area");
  f.field("ratio", ratio, "random crop: least and largest width / height");
  f.field("interpolation", interpolation, "nearest, bilinear, bicubic or lanczos");
  f.field("hflip_prob", hflip_prob, "probability of a mirror image");
  f.field("color_jitter", color_jitter, "strengths of brightness, contrast, saturation and hue changes");
  f.field("color_jitter_prob", color_jitter_prob, "probability of color_jitter");
  f.field("gray_scale_prob", gray_scale_prob, "probability of losing the colours");
  f.field("blur_prob", blur_prob, "probability of a Gaussian blur");
  f.field("blur_sigma", blur_sigma, "least and largest standard deviation of the blur, in pixels");
  f.field("rand_augment", rand_augment, "RandAugment operations a picture");
  f.field("rand_augment_level", rand_augment_level, "their strength, 0 to 10");
  f.field("rand_augment_prob", rand_augment_prob, "probability that a drawn operation is applied");
  f.field("pad_square", pad_square, "pad to a white square before the crop");
  f.field("squash", squash, "bring the whole picture to the size, whatever its shape, in place of a crop");
  f.field("shift", shift, "move by up to so many pixels in each direction, white behind");
}

TrainTransformOptions read_open_clip_augmentation(const nlohmann::json& cfg) {
  TrainTransformOptions o;
  try {
    const auto has = [&](const char* key) { return cfg.contains(key) && !cfg[key].is_null(); };
    if (has("scale")) o.scale = cfg["scale"].get<std::vector<double>>();
    if (has("ratio")) o.ratio = cfg["ratio"].get<std::vector<double>>();
    if (has("color_jitter")) {
      const auto& jitter = cfg["color_jitter"];
      // One number stands for all but the hue, as in torchvision's and timm's arguments.
      o.color_jitter = jitter.is_array() ? jitter.get<std::vector<double>>()
                                         : std::vector<double>{jitter.get<double>(), jitter.get<double>(), jitter.get<double>(), 0};
      o.color_jitter.resize(4, 0.0);
    }
    if (has("color_jitter_prob")) o.color_jitter_prob = cfg["color_jitter_prob"].get<double>();
    if (has("gray_scale_prob")) o.gray_scale_prob = cfg["gray_scale_prob"].get<double>();
  } catch (const nlohmann::json::exception& error) {
    fail("aug_cfg: ", error.what());
  }
  return o;
}

Box draw_crop(const ImageSize& picture, const std::vector<double>& scale, const std::vector<double>& ratio, SplitMix64& random) {
  const int64_t h = picture.height, w = picture.width;
  const double area = static_cast<double>(h) * static_cast<double>(w);
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double target = area * random.uniform(scale[0], scale[1]);
    const double aspect = std::exp(random.uniform(std::log(ratio[0]), std::log(ratio[1])));
    const auto width = static_cast<int64_t>(std::nearbyint(std::sqrt(target * aspect)));
    const auto height = static_cast<int64_t>(std::nearbyint(std::sqrt(target / aspect)));
    if (width < 1 || width > w || height < 1 || height > h) continue;
    const auto top = static_cast<int64_t>(random.below(static_cast<uint64_t>(h - height + 1)));
    const auto left = static_cast<int64_t>(random.below(static_cast<uint64_t>(w - width + 1)));
    return {top, left, height, width};
  }
  const double shape = static_cast<double>(w) / static_cast<double>(h);
  int64_t height = h, width = w;
  if (shape < ratio[0]) height = static_cast<int64_t>(std::nearbyint(static_cast<double>(w) / ratio[0]));
  if (shape > ratio[1]) width = static_cast<int64_t>(std::nearbyint(static_cast<double>(h) * ratio[1]));
  height = std::clamp<int64_t>(height, 1, h), width = std::clamp<int64_t>(width, 1, w);
  return {(h - height) / 2, (w - width) / 2, height, width};
}

Image color_jitter(const Image& image, const std::vector<double>& strengths, SplitMix64& random) {
  std::array<size_t, 4> order = {0, 1, 2, 3};
  for (size_t i = 3; i > 0; --i) std::swap(order[i], order[random.below(i + 1)]);
  std::array<double, 4> factors;
  for (size_t i = 0; i < 4; ++i) {
    const double x = strengths[i];
    factors[i] = i == 3 ? random.uniform(-x, x) : random.uniform(std::max(0.0, 1 - x), 1 + x);
  }
  Image out = image;
  for (const size_t i : order) {
    if (strengths[i] == 0) continue;
    if (i == 0) out = adjust_brightness(out, factors[0]);
    if (i == 1) out = adjust_contrast(out, factors[1]);
    if (i == 2) out = adjust_saturation(out, factors[2]);
    if (i == 3) out = adjust_hue(out, factors[3]);
  }
  return out;
}

Image rand_augment(const Image& image, int64_t count, int64_t level, double probability, SplitMix64& random) {
  static const char* const names[] = {"Identity", "AutoContrast", "Equalize",   "Brightness", "Sharpness",
                                      "ShearX",   "ShearY",       "TranslateX", "TranslateY", "Rotate"};
  const WarpOptions gray_bilinear{Filter::bilinear, {128, 128, 128}};
  const double share = static_cast<double>(level) / 10;
  Image out = image;
  for (int64_t i = 0; i < count; ++i) {
    const std::string name = names[random.below(std::size(names))];
    const bool applied = random.chance(probability);
    const double sign = random.chance(0.5) ? -1 : 1;
    if (!applied) continue;
    double magnitude = 0;
    if (name == "Brightness" || name == "Sharpness") magnitude = share * 1.8 + 0.1 - 1;
    if (name == "ShearX" || name == "ShearY") magnitude = sign * share * 0.3;
    if (name == "TranslateX" || name == "TranslateY") magnitude = sign * share * 10;
    if (name == "Rotate") magnitude = sign * share * 30;
    out = augment_by_name(out, name, magnitude, gray_bilinear);
  }
  return out;
}

TrainTransform::TrainTransform(const TrainTransformOptions& options, const PreprocessOptions& evaluation)
    : options_(training_transform::checked(options, evaluation)),
      height_(options_.size.front()),
      width_(options_.size.back()),
      filter_(filter_by_name(options_.interpolation)),
      normalizer_(evaluation.mean, evaluation.std, evaluation.rescale_factor, evaluation.normalize) {}

std::array<double, 4> Placement::box(const std::array<double, 4>& box) const {
  double x0 = scale_x * box[0] + shift_x, x1 = scale_x * box[2] + shift_x;
  const double y0 = scale_y * box[1] + shift_y, y1 = scale_y * box[3] + shift_y;
  if (x0 > x1) std::swap(x0, x1);  // a mirror image
  return {std::clamp(x0, 0.0, width), std::clamp(y0, 0.0, height), std::clamp(x1, 0.0, width), std::clamp(y1, 0.0, height)};
}

Image TrainTransform::augment(const Image& image, SplitMix64& random, Placement* placed) const {
  const TrainTransformOptions& o = options_;
  if (image.channels == 4) {
    Image rgb(image.height, image.width, 3);
    for (size_t i = 0, n = rgb.pixels.size() / 3; i < n; ++i) std::copy_n(&image.pixels[4 * i], 3, &rgb.pixels[3 * i]);
    return augment(rgb, random, placed);
  }
  if (o.pad_square && image.height != image.width) {
    const int64_t side = std::max(image.height, image.width), left = (side - image.width) / 2, top = (side - image.height) / 2;
    if (side * side > 4 * DecodeOptions().max_pixels) {
      fail("a picture of ", image.width, " x ", image.height, " pixels is too long to be padded to a square");
    }
    Image out = augment(crop_or_pad(image, {-top, -left, side, side}, 255), random, placed);
    if (placed) {
      placed->shift_x += placed->scale_x * static_cast<double>(left);
      placed->shift_y += placed->scale_y * static_cast<double>(top);
    }
    return out;
  }
  const Box box = o.squash ? Box{0, 0, image.height, image.width} : draw_crop({image.height, image.width}, o.scale, o.ratio, random);
  Image out = resize_crop(image, box, static_cast<int>(height_), static_cast<int>(width_), filter_);
  Placement place;
  place.width = static_cast<double>(width_);
  place.height = static_cast<double>(height_);
  place.scale_x = place.width / static_cast<double>(box.width);
  place.scale_y = place.height / static_cast<double>(box.height);
  place.shift_x = -place.scale_x * static_cast<double>(box.left);
  place.shift_y = -place.scale_y * static_cast<double>(box.top);
  if (o.hflip_prob > 0 && random.chance(o.hflip_prob)) {
    out = flip_horizontal(out);
    place.scale_x = -place.scale_x;
    place.shift_x = place.width - place.shift_x;
  }
  if (!o.color_jitter.empty() && o.color_jitter_prob > 0 && random.chance(o.color_jitter_prob)) out = color_jitter(out, o.color_jitter, random);
  if (o.gray_scale_prob > 0 && random.chance(o.gray_scale_prob)) out = to_grayscale(out);
  if (o.blur_prob > 0 && random.chance(o.blur_prob)) out = gaussian_blur(out, random.uniform(o.blur_sigma[0], o.blur_sigma[1]));
  if (o.rand_augment > 0) out = rand_augment(out, o.rand_augment, o.rand_augment_level, o.rand_augment_prob, random);
  if (o.shift > 0) {
    const auto most = static_cast<uint64_t>(2 * o.shift + 1);
    const auto top = static_cast<int64_t>(random.below(most)) - o.shift, left = static_cast<int64_t>(random.below(most)) - o.shift;
    out = crop_or_pad(out, {top, left, height_, width_}, 255);
    place.shift_x -= static_cast<double>(left);
    place.shift_y -= static_cast<double>(top);
  }
  if (placed) *placed = place;
  return out;
}

void TrainTransform::write(const Image& image, SplitMix64& random, float* out, Placement* placed) const {
  normalizer_.write(augment(image, random, placed), out);
}

at::Tensor TrainTransform::operator()(const Image& image, SplitMix64& random) const {
  at::Tensor out = at::empty({3, height_, width_}, at::kFloat);
  write(image, random, out.mutable_data_ptr<float>());
  return out;
}

}  // namespace vlm
