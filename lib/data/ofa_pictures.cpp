#include "vlm/data/ofa_pictures.h"

#include <algorithm>
#include <cmath>

#include "vlm/core/error.h"
#include "vlm/data/image_augment.h"
#include "vlm/data/transforms_train.h"

namespace vlm {

namespace ofa_pictures {

Image resized_to(const Image& image, const ImageSize& size) {
  if (image.height == size.height && image.width == size.width) return image;
  return resize_image(image, size.height, size.width, Filter::bicubic);
}

/// The short side is drawn from patch_image_size .. max_resize.
ImageSize draw_size(const Image& image, const OfaPictureOptions& options, SplitMix64& random) {
  const int64_t side = options.patch_image_size, choices = std::max<int64_t>(0, options.max_resize - side) + 1;
  if (side < 1 || options.max_side < side) {
    fail_usage("patch_image_size is ", side, "; it must be positive and at most max_side, which is ", options.max_side);
  }
  return ofa_resized({image.height, image.width}, side + static_cast<int64_t>(random.below(static_cast<uint64_t>(choices))), options.max_side);
}

/// What is left of a box in the window; its corner may lie between pixels.
Corners clipped(const Corners& box, float left, float top, float width, float height) {
  const auto inside = [](float at, float length) { return std::max(std::min(at, length), 0.0f); };
  return {inside(box[0] - left, width), inside(box[1] - top, height), inside(box[2] - left, width), inside(box[3] - top, height)};
}

/// Where a window of `side` begins that has `centre` in its middle as far as 0 .. length allows.
float centred(float centre, float side, float length) {
  return std::max(centre - side / 2 + std::min(length - centre - side / 2, 0.0f), 0.0f);
}

}  // namespace ofa_pictures

PictureWithBoxes squashed(const Image& image, const std::vector<Corners>& boxes, int64_t side) {
  const ImageSize from{image.height, image.width}, to{static_cast<int>(side), static_cast<int>(side)};
  PictureWithBoxes out{ofa_pictures::resized_to(image, to), {}, {}};
  for (const auto& box : boxes) {
    out.kept.push_back(out.boxes.size());
    out.boxes.push_back(scaled(box, resize_ratios(from, to)));
  }
  return out;
}

Image augment_pair(const Image& image, const OfaPictureOptions& options, SplitMix64& random) {
  const ImageSize size = ofa_pictures::draw_size(image, options, random);
  const int64_t side = options.patch_image_size;
  const Box centre{torchvision_crop_offset(size.height, side), torchvision_crop_offset(size.width, side), side, side};
  const Image cropped = resize_window(image, size.height, size.width, centre, Filter::bicubic);
  return rand_augment(cropped, options.rand_augment, options.rand_augment_level, 0.5, random);
}

PictureWithBoxes augment_grounding(const Image& image, const std::vector<Corners>& boxes, const OfaPictureOptions& options, SplitMix64& random) {
  if (boxes.empty()) fail("a picture for grounding has no box");
  const ImageSize size = ofa_pictures::draw_size(image, options, random);
  const ResizeRatios ratios = resize_ratios({image.height, image.width}, size);
  const auto side = static_cast<float>(options.patch_image_size);
  const Corners first = scaled(boxes.front(), ratios);
  const float left = ofa_pictures::centred((first[0] + first[2]) / 2, side, static_cast<float>(size.width));
  const float top = ofa_pictures::centred((first[1] + first[3]) / 2, side, static_cast<float>(size.height));
  // Boxes move by the exact corner, pixels by the nearest whole one.
  const auto pixel = [&](float corner, int length) {
    return std::clamp<int64_t>(static_cast<int64_t>(std::nearbyintf(corner)), 0, length - options.patch_image_size);
  };
  const Box window{pixel(top, size.height), pixel(left, size.width), options.patch_image_size, options.patch_image_size};
  PictureWithBoxes out{resize_window(image, size.height, size.width, window, Filter::bicubic), {}, {}};
  for (const auto& box : boxes) {
    out.kept.push_back(out.boxes.size());
    out.boxes.push_back(ofa_pictures::clipped(scaled(box, ratios), left, top, side, side));
  }
  return out;
}

PictureWithBoxes augment_detection(const Image& image, const std::vector<Corners>& boxes, const OfaPictureOptions& options, SplitMix64& random) {
  const int64_t side = 2 * options.code_image_size;
  const bool flip = random.chance(0.5);
  const float scale = static_cast<float>(random.uniform(1.0, 1.5));
  const float target = std::nearbyintf(scale * static_cast<float>(side));
  const float ratio = std::max(target / static_cast<float>(image.height), target / static_cast<float>(image.width));
  const auto grown = [&](int length) { return std::max(side, static_cast<int64_t>(std::nearbyintf(static_cast<float>(length) * ratio))); };
  const ImageSize size{static_cast<int>(grown(image.height)), static_cast<int>(grown(image.width))};
  const auto offset = [&](int64_t length) { return static_cast<int64_t>(static_cast<double>(length - side) * random.uniform()); };
  const int64_t top = offset(size.height), left = offset(size.width);

  PictureWithBoxes out{resize_window(flip ? flip_horizontal(image) : image, size.height, size.width, {top, left, side, side}, Filter::bicubic), {}, {}};
  const ResizeRatios ratios = resize_ratios({image.height, image.width}, size);
  const auto width = static_cast<float>(image.width), limit = static_cast<float>(side);
  for (size_t i = 0; i < boxes.size(); ++i) {
    const Corners& b = boxes[i];
    const Corners turned = flip ? Corners{width - b[2], b[1], width - b[0], b[3]} : b;
    const Corners box = ofa_pictures::clipped(scaled(turned, ratios), static_cast<float>(left), static_cast<float>(top), limit, limit);
    if (box[2] <= box[0] || box[3] <= box[1]) continue;
    out.boxes.push_back(box);
    out.kept.push_back(i);
  }
  return out;
}

void write_infilling_picture(const Image& image, const Normalizer& normalizer, int64_t code_image_size, float* out) {
  const int64_t side = 2 * code_image_size;
  normalizer.write(ofa_pictures::resized_to(image, {static_cast<int>(side), static_cast<int>(side)}), out);
  const int64_t first = code_image_size / 2, end = 3 * code_image_size / 2;
  for (int64_t channel = 0; channel < 3; ++channel) {
    for (int64_t y = first; y < end; ++y) {
      float* row = out + (channel * side + y) * side;
      std::fill(row + first, row + end, 0.0f);
    }
  }
}

}  // namespace vlm
