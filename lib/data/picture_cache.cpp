#include "vlm/data/picture_cache.h"

#include <algorithm>
#include <cmath>

namespace vlm {

std::shared_ptr<const Image> PictureCache::find(int64_t number) const {
  std::lock_guard lock(mutex_);
  const auto it = pictures_.find(number);
  return it == pictures_.end() ? nullptr : it->second;
}

void PictureCache::add(int64_t number, std::shared_ptr<const Image> picture) {
  const auto size = static_cast<int64_t>(picture->pixels.size());
  std::lock_guard lock(mutex_);
  if (bytes_ + size > max_bytes_ || !pictures_.emplace(number, std::move(picture)).second) return;
  bytes_ += size;
}

int64_t PictureCache::bytes() const {
  std::lock_guard lock(mutex_);
  return bytes_;
}

Image shrink_to_side(Image picture, int64_t max_side) {
  const int longest = std::max(picture.height, picture.width);
  if (max_side <= 0 || longest <= max_side) return picture;
  const double scale = static_cast<double>(max_side) / longest;
  const auto side = [&](int length) { return std::max(1, static_cast<int>(std::lround(length * scale))); };
  return resize_image(picture, side(picture.height), side(picture.width), Filter::bicubic);
}

}  // namespace vlm
