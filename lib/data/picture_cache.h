#pragma once
/// Decoded pictures kept in memory, so that a small data set is decoded once and not once an epoch.

#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "vlm/data/image.h"

namespace vlm {

/// Takes pictures until it is full and then keeps those it has: every epoch asks for each picture once, so that throwing out
/// the oldest would throw out just what comes next. Threads may share one.
class PictureCache {
 public:
  explicit PictureCache(int64_t max_bytes) : max_bytes_(max_bytes) {}

  /// The picture with this number, or null.
  std::shared_ptr<const Image> find(int64_t number) const;
  void add(int64_t number, std::shared_ptr<const Image> picture);
  int64_t bytes() const;

 private:
  mutable std::mutex mutex_;
  int64_t max_bytes_, bytes_ = 0;
  std::unordered_map<int64_t, std::shared_ptr<const Image>> pictures_;
};

/// The picture with its longer side brought down to `max_side` (bicubic, antialiased); smaller ones, and all with
/// max_side 0, as they are.
Image shrink_to_side(Image picture, int64_t max_side);

}  // namespace vlm
