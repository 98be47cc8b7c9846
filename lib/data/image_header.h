#pragma once
/// What the first bytes of a picture file say: format, size, colours, where its EXIF data are. Nothing is decoded, and no
/// declared length is followed beyond the bytes that are there.

#include <string_view>

#include "vlm/data/image.h"

namespace vlm {

enum class ImageFormat { jpeg, png, webp, gif, bmp };
/// The colours as stored. indexed: a palette that is not a plain ramp of greys; bilevel: one bit, black and white.
enum class ColorMode { gray, rgb, indexed, bilevel, gray_alpha, rgba, cmyk };

struct ImageHeader {
  ImageFormat format = ImageFormat::jpeg;
  ImageSize size;
  ColorMode mode = ColorMode::rgb;
  bool animated = false;      ///< WebP only
  std::string_view exif;      ///< a TIFF structure inside the given bytes, or empty
};

/// Throws an Error if the bytes are no picture of a known format, or end before its size.
ImageHeader read_image_header(std::string_view bytes);

/// The orientation 1 to 8 that a TIFF structure holds; 1 if it holds none that makes sense.
int exif_orientation(std::string_view tiff);

/// Bounds-checked numbers out of a file: a read beyond the end is an Error "the NAME file ends early".
class ByteReader {
 public:
  ByteReader(std::string_view bytes, const char* name) : bytes_(bytes), name_(name) {}
  size_t size() const { return bytes_.size(); }
  uint32_t u8(size_t at) const { return need(at, 1), static_cast<unsigned char>(bytes_[at]); }
  uint32_t le16(size_t at) const { return u8(at) | u8(at + 1) << 8; }
  uint32_t le24(size_t at) const { return le16(at) | u8(at + 2) << 16; }
  uint32_t le32(size_t at) const { return le16(at) | le16(at + 2) << 16; }
  uint32_t be16(size_t at) const { return u8(at) << 8 | u8(at + 1); }
  uint32_t be32(size_t at) const { return be16(at) << 16 | be16(at + 2); }
  std::string_view part(size_t at, size_t length) const { return need(at, length), bytes_.substr(at, length); }

 private:
  void need(size_t at, size_t length) const;
  std::string_view bytes_;
  const char* name_;
};

}  // namespace vlm
