#include <algorithm>
#include <cstring>
#include <string>

#include "vlm/core/error.h"
#include "vlm/data/image.h"
#include "vlm/data/image_gif.h"
#include "vlm/data/image_header.h"
#include "vlm/data/image_jpeg.h"
#include "vlm/data/image_opencv.h"
#include "vlm/data/image_png.h"
#include "vlm/data/image_webp.h"

namespace vlm {

namespace image_decoding {

Image png(std::string_view bytes, const ImageHeader& header, bool with_alpha, DepthRule depth) {
  Image image = decode_with_opencv(essential_png(bytes, header.size), header.size, with_alpha, depth);
  if (!with_alpha) return image;
  if (const auto key = transparent_gray(bytes)) {
    for (size_t i = 0; i < image.pixels.size(); i += 4) {
      if (image.pixels[i] == *key) image.pixels[i + 3] = 0;
    }
  }
  return image;
}

Image webp(std::string_view bytes, const ImageHeader& header, bool with_alpha, DepthRule depth) {
  if (!header.animated) {
    // OpenCV looks at no less than 32 bytes, which a picture of one colour may not have.
    if (bytes.size() >= 32) return decode_with_opencv(bytes, header.size, with_alpha, depth);
    std::string padded(bytes);
    padded.resize(32);
    return decode_with_opencv(padded, header.size, with_alpha, depth);
  }
  const WebpFrame frame = first_webp_frame(bytes, header.size);
  const Image part = decode_with_opencv(frame.file, frame.size, with_alpha, depth);
  Image canvas(header.size.height, header.size.width, part.channels);
  for (int y = 0; y < part.height; ++y) {
    std::memcpy(canvas.row(frame.top + y) + size_t(frame.left) * size_t(part.channels), part.row(y), size_t(part.width) * size_t(part.channels));
  }
  return canvas;
}

Image jpeg(std::string_view bytes, const ImageHeader& header, const DecodeOptions& options, bool with_alpha) {
  Image rgb = header.mode == ColorMode::cmyk ? cmyk_to_rgb(decode_jpeg_cmyk(bytes, options)) : decode_jpeg(bytes, options);
  if (!with_alpha) return rgb;
  Image rgba(rgb.height, rgb.width, 4);
  for (size_t i = 0, n = rgba.pixels.size() / 4; i < n; ++i) {
    std::memcpy(&rgba.pixels[4 * i], &rgb.pixels[3 * i], 3);
    rgba.pixels[4 * i + 3] = 255;
  }
  return rgba;
}

/// `ground` is the level of all three channels behind the picture.
Image composite(const Image& rgba, int ground) {
  Image rgb(rgba.height, rgba.width, 3);
  for (size_t i = 0, n = rgb.pixels.size() / 3; i < n; ++i) {
    const int alpha = rgba.pixels[4 * i + 3];
    for (size_t c = 0; c < 3; ++c) rgb.pixels[3 * i + c] = static_cast<uint8_t>((rgba.pixels[4 * i + c] * alpha + ground * (255 - alpha) + 127) / 255);
  }
  return rgb;
}

}  // namespace image_decoding

Image decode_image(std::string_view bytes, const DecodeOptions& options) {
  using namespace image_decoding;
  const ImageHeader header = read_image_header(bytes);
  const int64_t pixels = static_cast<int64_t>(header.size.height) * header.size.width;
  if (pixels > options.max_pixels) {
    fail("the picture has ", header.size.width, " x ", header.size.height, " pixels, more than the ", options.max_pixels, " that are allowed");
  }
  const bool with_alpha = options.alpha != Alpha::drop;
  Image image;
  switch (header.format) {
    case ImageFormat::jpeg: image = jpeg(bytes, header, options, with_alpha && options.alpha == Alpha::keep); break;
    case ImageFormat::png: image = png(bytes, header, with_alpha, options.depth); break;
    case ImageFormat::webp: image = webp(bytes, header, with_alpha, options.depth); break;
    case ImageFormat::gif: image = decode_gif(bytes, header.size, with_alpha); break;
    case ImageFormat::bmp: image = decode_with_opencv(bytes, header.size, with_alpha, options.depth); break;
  }
  if (image.channels == 4 && options.alpha != Alpha::keep) image = composite(image, options.alpha == Alpha::white ? 255 : 0);
  return options.exif == Exif::apply ? orient_image(image, exif_orientation(header.exif)) : image;
}

Image crop_image(const Image& image, int top, int left, int height, int width) {
  if (top < 0 || left < 0 || height <= 0 || width <= 0 || top > image.height - height || left > image.width - width) {
    fail("a crop of ", width, " x ", height, " pixels at (", left, ", ", top, ") does not lie inside a picture of ", image.width, " x ", image.height);
  }
  return crop_or_pad(image, {top, left, height, width}, 0);
}

Image crop_or_pad(const Image& image, const Box& window, uint8_t fill) {
  if (window.height <= 0 || window.width <= 0) fail("a crop of ", window.width, " x ", window.height, " pixels holds nothing");
  Image out(static_cast<int>(window.height), static_cast<int>(window.width), image.channels);
  const int64_t first = std::max<int64_t>(window.left, 0), last = std::min<int64_t>(window.left + window.width, image.width);
  const bool covers = window.top >= 0 && window.top + window.height <= image.height && window.left >= 0 && last == window.left + window.width;
  if (!covers) std::fill(out.pixels.begin(), out.pixels.end(), fill);
  if (first >= last) return out;
  const size_t channels = size_t(image.channels);
  for (int64_t y = std::max<int64_t>(window.top, 0); y < std::min<int64_t>(window.top + window.height, image.height); ++y) {
    std::memcpy(out.row(static_cast<int>(y - window.top)) + size_t(first - window.left) * channels,
                image.row(static_cast<int>(y)) + size_t(first) * channels, size_t(last - first) * channels);
  }
  return out;
}

Image orient_image(const Image& image, int orientation) {
  if (orientation < 2 || orientation > 8) return image;
  const bool transposed = orientation >= 5;
  const int h = image.height, w = image.width;
  Image out(transposed ? w : h, transposed ? h : w, image.channels);
  for (int y = 0; y < out.height; ++y) {
    uint8_t* to = out.row(y);
    for (int x = 0; x < out.width; ++x, to += out.channels) {
      int from_y = transposed ? x : y, from_x = transposed ? y : x;
      if (orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7) from_y = h - 1 - from_y;
      if (orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8) from_x = w - 1 - from_x;
      std::memcpy(to, image.row(from_y) + size_t(from_x) * size_t(image.channels), size_t(image.channels));
    }
  }
  return out;
}

}  // namespace vlm
