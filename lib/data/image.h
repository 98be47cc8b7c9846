#pragma once
/// Pictures as 8-bit RGB: decoding and resizing, to the pixel as the reference implementations do it (specs: clip, 11.1-11.2).

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vlm {

/// Interleaved 8-bit pixels, row by row. channels: 3 (RGB) or 4 (RGBA).
struct Image {
  int height = 0, width = 0, channels = 3;
  std::vector<uint8_t> pixels;  ///< [height, width, channels]

  Image() = default;
  Image(int height, int width, int channels = 3)
      : height(height), width(width), channels(channels), pixels(size_t(height) * width * channels) {}
  uint8_t* row(int y) { return pixels.data() + size_t(y) * width * channels; }
  const uint8_t* row(int y) const { return pixels.data() + size_t(y) * width * channels; }
};

enum class Exif { ignore, apply };
enum class Alpha { drop, white, black, keep };  ///< keep: the result has four channels
enum class DepthRule { high_byte, divide_257 };  ///< 16-bit samples to 8 bits: v >> 8, or v / 257 rounded down

struct DecodeOptions {
  Exif exif = Exif::ignore;               ///< turn the picture upright as its EXIF orientation says
  Alpha alpha = Alpha::drop;              ///< drop the alpha channel, composite over a colour, or keep it
  int64_t max_pixels = 64'000'000;        ///< more, by the header, is refused before anything is decoded
  bool truncated = false;                 ///< accept a JPEG that ends early, the rest grey
  DepthRule depth = DepthRule::high_byte;
};

struct ImageSize {
  int height = 0, width = 0;
};

/// Decodes JPEG, PNG, WebP, GIF (first frame) or BMP, told apart by content. Throws an Error that says why it cannot.
Image decode_image(std::string_view bytes, const DecodeOptions& options = {});

/// Height and width as stored, from the header alone; throws if there is none that is understood.
ImageSize read_image_size(std::string_view bytes);

enum class Filter { nearest, bilinear, bicubic, lanczos };

/// By name, as recipes and model folders write it; throws a usage error for another one.
Filter filter_by_name(const std::string& name);

/// A rectangle of whole pixels.
struct Box {
  int64_t top = 0, left = 0, height = 0, width = 0;
};

/// Resizes as Pillow does: antialiased, horizontal pass first, 8 bits between the passes.
Image resize_image(const Image& image, int height, int width, Filter filter = Filter::bicubic);

/// crop_image() followed by resize_image(), touching only the pixels of `box` (RandomResizedCrop).
Image resize_crop(const Image& image, const Box& box, int height, int width, Filter filter = Filter::bicubic);

/// The part `window` of the picture resized to `height` x `width`, which may be far larger than memory: only the rows and
/// columns of `window` are computed. `window` must lie inside.
Image resize_window(const Image& image, int64_t height, int64_t width, const Box& window, Filter filter = Filter::bicubic);

/// Four channels are resized premultiplied by the last one, and divided by it afterwards (as Pillow does with RGBA).
Image resize_window_rgba(const Image& image, int64_t height, int64_t width, const Box& window, Filter filter = Filter::bicubic);

/// The part of `height` x `width` pixels whose top left corner is at (top, left); must lie inside.
Image crop_image(const Image& image, int top, int left, int height, int width);

/// The part `window` of the picture on an endless ground of the colour `fill`; it may reach outside.
Image crop_or_pad(const Image& image, const Box& window, uint8_t fill);

/// Turns a picture as EXIF orientation 1 to 8 says; other values leave it as it is.
Image orient_image(const Image& image, int orientation);

/// (a * b) / 255, rounded as Pillow does.
inline uint8_t multiply_div255(int a, int b) {
  const int t = a * b + 128;
  return static_cast<uint8_t>(((t >> 8) + t) >> 8);
}

}  // namespace vlm
