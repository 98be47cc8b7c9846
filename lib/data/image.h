#pragma once
/// Pictures as 8-bit RGB: decoding and resizing, to the pixel as the reference implementations do it (specs: clip, 11.1-11.2).

#include <cstdint>
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

struct DecodeOptions {
  Exif exif = Exif::ignore;               ///< turn the picture upright as its EXIF orientation says
  Alpha alpha = Alpha::drop;              ///< drop the alpha channel, composite over a colour, or keep it
  int64_t max_pixels = 64'000'000;        ///< more, by the header, is refused before anything is decoded
  bool truncated = false;                 ///< accept a JPEG that ends early, the rest grey
};

struct ImageSize {
  int height = 0, width = 0;
};

/// Decodes JPEG, PNG, WebP, GIF (first frame) or BMP, told apart by content. Throws an Error that says why it cannot.
Image decode_image(std::string_view bytes, const DecodeOptions& options = {});

/// Height and width as stored, from the header alone; throws if there is none that is understood.
ImageSize read_image_size(std::string_view bytes);

enum class Filter { nearest, bilinear, bicubic, lanczos };

/// Resizes as Pillow does: antialiased, horizontal pass first, 8 bits between the passes.
Image resize_image(const Image& image, int height, int width, Filter filter = Filter::bicubic);

/// The part of `height` x `width` pixels whose top left corner is at (top, left); must lie inside.
Image crop_image(const Image& image, int top, int left, int height, int width);

}  // namespace vlm
