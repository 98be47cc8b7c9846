#include "vlm/data/grounding_augment.h"

#include <algorithm>

#include "vlm/core/error.h"
#include "vlm/data/image_augment.h"
#include "vlm/data/transforms_train.h"

namespace vlm {

namespace grounding_augment {

GroundingAugmentOptions checked(const GroundingAugmentOptions& options) {
  const auto probability = [](const char* key, double p) {
    if (!(p >= 0 && p <= 1)) fail_usage("augment.", key, " must be a probability, 0 to 1, not ", p);
  };
  probability("crop", options.crop);
  probability("jitter", options.jitter);
  probability("flip", options.flip);
  if (!(options.jitter_strength >= 0)) fail_usage("augment.jitter_strength must not be negative, and is ", options.jitter_strength);
  if (options.mean.size() != 3 || options.std.size() != 3) fail_usage("augment.mean and augment.std are three numbers each");
  if (options.size < 1) fail_usage("a square for grounding has a side of at least one pixel, not ", options.size);
  return options;
}

/// The picture as large as `to`, and the box with it.
Image resized(const Image& image, Corners& box, const ImageSize& to, Filter filter) {
  box = scaled(box, resize_ratios({image.height, image.width}, to));
  return to.height == image.height && to.width == image.width ? image : resize_image(image, to.height, to.width, filter);
}

/// With the short or the long side of that length.
ImageSize with_side(const Image& image, int64_t side, bool long_side) {
  const int64_t reference = long_side ? std::max(image.height, image.width) : std::min(image.height, image.width);
  const auto part = [&](int64_t x) { return static_cast<int>(std::max<int64_t>(1, x == reference ? side : x * side / reference)); };
  return {part(image.height), part(image.width)};
}

Corners inside(Corners box, const Box& window) {
  for (size_t i = 0; i < 4; ++i) {
    const auto from = static_cast<float>(i % 2 ? window.top : window.left), extent = static_cast<float>(i % 2 ? window.height : window.width);
    box[i] = std::clamp(box[i] - from, 0.0F, extent);
  }
  return box;
}

bool has_area(const Corners& box) { return box[2] > box[0] && box[3] > box[1]; }

}  // namespace grounding_augment

bool says_where(const std::string& expression) {
  static constexpr const char* words[] = {"left", "right", "top", "bottom", "middle"};
  return std::any_of(std::begin(words), std::end(words), [&](const char* word) { return expression.find(word) != std::string::npos; });
}

Box draw_grounding_crop(const ImageSize& picture, const Corners& box, SplitMix64& random) {
  constexpr int64_t least = 384, most = 600;
  const int64_t height = picture.height, width = picture.width;
  const auto extent = [&](int64_t whole) {
    const int64_t low = std::min(least, whole), high = std::min(most, whole);
    return low + static_cast<int64_t>(random.below(static_cast<uint64_t>(high - low + 1)));
  };
  const float x = (box[0] + box[2]) / 2, y = (box[1] + box[3]) / 2;
  for (int attempt = 0; attempt < 20; ++attempt) {
    Box crop;
    crop.width = extent(width);
    crop.height = extent(height);
    crop.top = static_cast<int64_t>(random.below(static_cast<uint64_t>(height - crop.height + 1)));
    crop.left = static_cast<int64_t>(random.below(static_cast<uint64_t>(width - crop.width + 1)));
    const bool kept = x > static_cast<float>(crop.top) && y > static_cast<float>(crop.left);
    if (kept && grounding_augment::has_area(grounding_augment::inside(box, crop))) return crop;
  }
  return {0, 0, height, width};
}

GroundingAugment::GroundingAugment(const GroundingAugmentOptions& options)
    : options_(grounding_augment::checked(options)), filter_(filter_by_name(options_.interpolation)), normalizer_(options_.mean, options_.std, 1.0 / 255, true) {}

void GroundingAugment::write(const Image& image, Corners& box, std::string& expression, SplitMix64& random, float* out) const {
  using namespace grounding_augment;
  const int64_t size = options_.size;
  Image picture = image;
  box = inside(box, {0, 0, image.height, image.width});
  if (!has_area(box)) fail("a box to be found has an area inside its picture");
  if (!says_where(expression) && random.chance(options_.crop)) {
    static constexpr int64_t sides[] = {400, 500, 600};
    picture = resized(picture, box, with_side(picture, sides[random.below(3)], false), filter_);
    const Box crop = draw_grounding_crop({picture.height, picture.width}, box, random);
    box = inside(box, crop);
    picture = crop_image(picture, static_cast<int>(crop.top), static_cast<int>(crop.left), static_cast<int>(crop.height), static_cast<int>(crop.width));
  }
  const int64_t side = size - static_cast<int64_t>(random.below(7)) * (size / 20);
  picture = resized(picture, box, with_side(picture, side, true), filter_);
  if (random.chance(options_.jitter)) picture = color_jitter(picture, {options_.jitter_strength, options_.jitter_strength, options_.jitter_strength, 0}, random);
  if (random.chance(options_.flip)) {
    picture = flip_horizontal(picture);
    box = mirrored(box, static_cast<float>(picture.width));
    expression = mirrored_expression(expression);
  }
  const int64_t height = picture.height, width = picture.width;
  const auto top = static_cast<int64_t>(random.below(static_cast<uint64_t>(size - height + 1))), left = static_cast<int64_t>(random.below(static_cast<uint64_t>(size - width + 1)));
  std::vector<float> numbers(static_cast<size_t>(3 * height * width));
  normalizer_.write(picture, numbers.data());
  std::fill(out, out + 3 * size * size, 0.0F);
  for (int64_t row = 0; row < 3 * height; ++row) {
    const int64_t channel = row / height, y = row % height;
    std::copy_n(numbers.data() + row * width, width, out + (channel * size + top + y) * size + left);
  }
  for (size_t i = 0; i < 4; ++i) box[i] += static_cast<float>(i % 2 ? top : left);
}

}  // namespace vlm
