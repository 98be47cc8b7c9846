#pragma once
/// Pixels of imported pictures: what is refused, over white, made smaller (specs: real-data, section 2, steps 5 to 8).

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <tuple>

#include "vlm/data/image.h"

namespace vlm {

struct ImportLimits {
  int64_t most_pixels = 64'000'000;
  int shortest_side = 16;      ///< pixels
  int most_aspect = 4;         ///< long side over short side
  int stored_short_side = 224; ///< larger pictures are made smaller, none is made larger
};

/// Size and content of a picture over white: equal for equal pixels, and for practical purposes only for those.
using PixelDigest = std::tuple<int, int, uint64_t, uint64_t>;
PixelDigest pixel_digest(const Image& image);

/// RGBA over white, as RGB: (c * a + 255 * (255 - a) + 127) div 255.
Image over_white(const Image& rgba);
/// True if all pixels are equal.
bool is_blank(const Image& image);
/// Makes the short side `short_side` if it is longer, the other in proportion; bicubic with antialiasing.
Image shrink_short_side(Image image, int short_side);

/// Bounds how many pixels are being decoded at once over all threads, so that many threads that all meet a huge picture
/// do not exhaust the memory.
class PixelBudget {
 public:
  explicit PixelBudget(int64_t pixels) : free_(pixels), all_(pixels) {}
  /// Waits until `pixels` (at most all of them) are free.
  int64_t take(int64_t pixels);
  void give_back(int64_t pixels);

 private:
  std::mutex mutex_;
  std::condition_variable freed_;
  int64_t free_, all_;
};

struct PreparedPicture {
  std::string skipped;  ///< "too_big", "too_small", "aspect", "bad_image" or "blank"; empty if the picture is sound
  std::string png;      ///< the picture as it is stored
  int height = 0, width = 0;  ///< as stored
  PixelDigest digest;         ///< before it is made smaller
};

/// Takes the bytes of a PNG file through all steps but the search for duplicates.
PreparedPicture prepare_picture(std::string_view bytes, PixelBudget& budget, const ImportLimits& limits = {});

}  // namespace vlm
