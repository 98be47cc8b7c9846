#include "vlm/data/import_pixels.h"

#include <algorithm>
#include <cstring>

#include "vlm/core/error.h"
#include "vlm/data/image_encode.h"

namespace vlm {

PixelDigest pixel_digest(const Image& image) {
  // Two multiplicative hashes with different odd factors over 8 bytes at a time.
  uint64_t a = 0x9E3779B97F4A7C15ull, b = 0xC2B2AE3D27D4EB4Full;
  const auto add = [&](uint64_t word) {
    a = (a ^ word) * 0xFF51AFD7ED558CCDull;
    a ^= a >> 32;
    b = (b + word) * 0xC4CEB9FE1A85EC53ull;
    b ^= b >> 29;
  };
  const size_t whole = image.pixels.size() / 8 * 8;
  for (size_t i = 0; i < whole; i += 8) {
    uint64_t word;
    std::memcpy(&word, image.pixels.data() + i, 8);
    add(word);
  }
  uint64_t rest = 0;
  for (size_t i = whole; i < image.pixels.size(); ++i) rest = rest << 8 | image.pixels[i];
  add(rest);
  return {image.height, image.width, a, b};
}

Image over_white(const Image& rgba) {
  Image rgb(rgba.height, rgba.width);
  const uint8_t* in = rgba.pixels.data();
  uint8_t* out = rgb.pixels.data();
  for (size_t i = 0; i < size_t(rgba.height) * rgba.width; ++i, in += 4, out += 3) {
    const unsigned alpha = in[3], white = 255 * (255 - alpha) + 127;
    if (alpha == 255) {  // most pixels are opaque or clear
      out[0] = in[0], out[1] = in[1], out[2] = in[2];
    } else if (alpha == 0) {
      out[0] = out[1] = out[2] = 255;
    } else {
      for (int c = 0; c < 3; ++c) out[c] = static_cast<uint8_t>((in[c] * alpha + white) / 255);
    }
  }
  return rgb;
}

bool is_blank(const Image& image) {
  const size_t channels = static_cast<size_t>(image.channels);
  for (size_t i = channels; i < image.pixels.size(); ++i) {
    if (image.pixels[i] != image.pixels[i - channels]) return false;
  }
  return true;
}

Image shrink_short_side(Image image, int short_side) {
  const int shorter = std::min(image.height, image.width), longer = std::max(image.height, image.width);
  if (shorter <= short_side) return image;
  // floor(longer * short_side / shorter + 1/2), in whole numbers.
  const int other = static_cast<int>((2 * int64_t(longer) * short_side + shorter) / (2 * int64_t(shorter)));
  const bool tall = image.height > image.width;
  return resize_image(image, tall ? other : short_side, tall ? short_side : other, Filter::bicubic);
}

int64_t PixelBudget::take(int64_t pixels) {
  pixels = std::min(pixels, all_);
  std::unique_lock lock(mutex_);
  freed_.wait(lock, [&] { return free_ >= pixels; });
  free_ -= pixels;
  return pixels;
}

void PixelBudget::give_back(int64_t pixels) {
  {
    const std::lock_guard lock(mutex_);
    free_ += pixels;
  }
  freed_.notify_all();
}

namespace import_pixels {

struct Share {
  PixelBudget& budget;
  int64_t pixels;
  Share(PixelBudget& budget, int64_t wanted) : budget(budget), pixels(budget.take(wanted)) {}
  ~Share() { budget.give_back(pixels); }
};

}  // namespace import_pixels

PreparedPicture prepare_picture(std::string_view bytes, PixelBudget& budget, const ImportLimits& limits) {
  PreparedPicture picture;
  const auto skipped = [&](const char* reason) {
    picture.skipped = reason;
    return picture;
  };
  ImageSize size;
  try {
    size = read_image_size(bytes);
  } catch (const Error&) {
    return skipped("bad_image");
  }
  const int shorter = std::min(size.height, size.width), longer = std::max(size.height, size.width);
  const int64_t pixels = int64_t(size.height) * size.width;
  if (pixels > limits.most_pixels) return skipped("too_big");
  if (shorter < limits.shortest_side) return skipped("too_small");
  if (int64_t(longer) > int64_t(limits.most_aspect) * shorter) return skipped("aspect");

  const import_pixels::Share share(budget, pixels);
  Image image;
  try {
    DecodeOptions options;
    options.alpha = Alpha::keep;
    options.depth = DepthRule::divide_257;
    options.max_pixels = limits.most_pixels;
    image = over_white(decode_image(bytes, options));
  } catch (const Error&) {
    return skipped("bad_image");
  }
  if (is_blank(image)) return skipped("blank");
  picture.digest = pixel_digest(image);
  image = shrink_short_side(std::move(image), limits.stored_short_side);
  picture.height = image.height, picture.width = image.width;
  picture.png = encode_png(image);
  return picture;
}

}  // namespace vlm
