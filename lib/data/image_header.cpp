#include "vlm/data/image_header.h"

#include <algorithm>

#include "vlm/core/error.h"

namespace vlm {

void ByteReader::need(size_t at, size_t length) const {
  if (at > bytes_.size() || length > bytes_.size() - at) fail("the ", name_, " file ends early (", bytes_.size(), " bytes)");
}

namespace image_header {

using namespace std::string_view_literals;

ImageSize checked_size(uint64_t height, uint64_t width, const char* format) {
  constexpr uint64_t limit = 1u << 30;
  if (height == 0 || width == 0 || height > limit || width > limit) {
    fail("the ", format, " header declares a picture of ", width, " x ", height, " pixels");
  }
  return {static_cast<int>(height), static_cast<int>(width)};
}

bool is_start_of_frame(uint32_t marker) {
  return marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
}

ImageHeader jpeg(std::string_view bytes) {
  const ByteReader in(bytes, "JPEG");
  ImageHeader header;
  header.format = ImageFormat::jpeg;
  bool sized = false;
  size_t at = 2;
  while (true) {
    if (sized && at + 4 > in.size()) break;  // cut after the size: the decoder decides
    while (in.u8(at) != 0xFF) ++at;          // stray bytes between segments, which decoders pass over as well
    while (in.u8(at) == 0xFF) ++at;
    const uint32_t marker = in.u8(at++);
    if (marker == 0 || marker == 0x01 || (marker >= 0xD0 && marker <= 0xD8)) continue;
    if (marker == 0xDA || marker == 0xD9) break;
    const size_t length = in.be16(at);
    if (length < 2) fail("the JPEG file has a segment of length ", length);
    if (is_start_of_frame(marker) && !sized) {
      header.size = checked_size(in.be16(at + 3), in.be16(at + 5), "JPEG");
      const uint32_t components = in.u8(at + 7);
      header.mode = components == 1 ? ColorMode::gray : components == 4 ? ColorMode::cmyk : ColorMode::rgb;
      sized = true;
    } else if (marker == 0xE1 && header.exif.empty() && length >= 8 && at + length <= in.size() && in.part(at + 2, 6) == "Exif\0\0"sv) {
      header.exif = in.part(at + 8, length - 8);
    }
    at += length;
  }
  if (!sized) fail("the JPEG file holds no frame header before its data");
  return header;
}

ImageHeader png(std::string_view bytes) {
  const ByteReader in(bytes, "PNG");
  ImageHeader header;
  header.format = ImageFormat::png;
  if (in.be32(8) != 13 || in.part(12, 4) != "IHDR") fail("the PNG file does not begin with a header chunk");
  header.size = checked_size(in.be32(20), in.be32(16), "PNG");
  const uint32_t depth = in.u8(24), type = in.u8(25);
  switch (type) {
    case 0: header.mode = depth == 1 ? ColorMode::bilevel : ColorMode::gray; break;
    case 2: header.mode = ColorMode::rgb; break;
    case 3: header.mode = ColorMode::indexed; break;
    case 4: header.mode = ColorMode::gray_alpha; break;
    case 6: header.mode = ColorMode::rgba; break;
    default: fail("the PNG file has the colour type ", type, ", which does not exist");
  }
  for (size_t at = 8; at + 12 <= in.size();) {
    const size_t length = in.be32(at);
    if (length > in.size() - at - 12) break;
    if (in.part(at + 4, 4) == "eXIf") header.exif = in.part(at + 8, length);
    at += length + 12;
  }
  return header;
}

ImageHeader webp(std::string_view bytes) {
  const ByteReader in(bytes, "WebP");
  ImageHeader header;
  header.format = ImageFormat::webp;
  if (in.le32(4) > in.size() - 8) fail("the WebP file ends early (", in.size(), " of ", uint64_t(in.le32(4)) + 8, " bytes)");
  const auto kind = in.part(12, 4);
  if (kind == "VP8 ") {
    if (in.part(23, 3) != "\x9D\x01\x2A"sv) fail("the WebP file's frame does not begin with its start code");
    header.size = checked_size(in.le16(28) & 0x3FFF, in.le16(26) & 0x3FFF, "WebP");
  } else if (kind == "VP8L") {
    if (in.u8(20) != 0x2F) fail("the WebP file's lossless data do not begin with their signature");
    const uint32_t bits = in.le32(21);
    header.size = checked_size((bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1, "WebP");
    header.mode = bits >> 28 & 1 ? ColorMode::rgba : ColorMode::rgb;
  } else if (kind == "VP8X") {
    const uint32_t flags = in.u8(20);
    header.size = checked_size(in.le24(27) + 1, in.le24(24) + 1, "WebP");
    header.mode = flags & 0x10 ? ColorMode::rgba : ColorMode::rgb;
    header.animated = flags & 0x02;
    for (size_t at = 12; at + 8 <= in.size();) {
      const size_t length = in.le32(at + 4);
      if (length > in.size() - at - 8) break;
      if (in.part(at, 4) == "EXIF") header.exif = in.part(at + 8, length);
      at += 8 + length + (length & 1);
    }
    if (header.exif.substr(0, 6) == "Exif\0\0"sv) header.exif.remove_prefix(6);
  } else {
    fail("the WebP file begins with an unknown chunk");
  }
  return header;
}

/// A palette of which entry i is the grey level i is no palette but a grey picture.
bool is_gray_ramp(const ByteReader& in, size_t at, size_t entries, size_t stride) {
  for (size_t i = 0; i < entries; ++i) {
    for (size_t c = 0; c < 3; ++c) {
      if (in.u8(at + i * stride + c) != i) return false;
    }
  }
  return true;
}

ImageHeader gif(std::string_view bytes) {
  const ByteReader in(bytes, "GIF");
  ImageHeader header;
  header.format = ImageFormat::gif;
  uint64_t width = in.le16(6), height = in.le16(8);
  const uint32_t flags = in.u8(10);
  size_t at = 13, palette = 0, entries = 0;
  if (flags & 0x80) {
    palette = at;
    entries = size_t(2) << (flags & 7);
    at += entries * 3;
  }
  while (in.u8(at) == 0x21) {  // extensions before the first frame
    at += 2;
    while (const size_t length = in.u8(at)) at += length + 1;
    ++at;
  }
  if (in.u8(at) != 0x2C) fail("the GIF file holds no frame");
  // A frame that reaches beyond the declared screen makes the screen larger.
  width = std::max<uint64_t>(width, in.le16(at + 1) + in.le16(at + 5));
  height = std::max<uint64_t>(height, in.le16(at + 3) + in.le16(at + 7));
  if (const uint32_t frame = in.u8(at + 9); frame & 0x80) {
    palette = at + 10;
    entries = size_t(2) << (frame & 7);
  }
  header.size = checked_size(height, width, "GIF");
  header.mode = is_gray_ramp(in, palette, entries, 3) ? ColorMode::gray : ColorMode::indexed;
  return header;
}

ImageHeader bmp(std::string_view bytes) {
  const ByteReader in(bytes, "BMP");
  ImageHeader header;
  header.format = ImageFormat::bmp;
  const size_t info = in.le32(14);
  const bool old = info == 12;
  if (!old && info < 40) fail("the BMP file's header has the length ", info, ", which does not exist");
  const int64_t width = old ? in.le16(18) : static_cast<int32_t>(in.le32(18));
  const int64_t height = old ? in.le16(20) : static_cast<int32_t>(in.le32(22));
  const uint32_t depth = old ? in.le16(24) : in.le16(28), compression = old ? 0 : in.le32(30);
  header.size = checked_size(static_cast<uint64_t>(height < 0 ? -height : height), static_cast<uint64_t>(std::max<int64_t>(width, 0)), "BMP");
  if (compression == 0 || compression == 3) {
    const uint64_t row = (static_cast<uint64_t>(width) * depth + 31) / 32 * 4;
    if (in.le32(10) + row * static_cast<uint64_t>(header.size.height) > bytes.size()) fail("the BMP file ends early (", bytes.size(), " bytes)");
  }
  if (depth <= 8) {
    const size_t used = old ? 0 : in.le32(46), entries = used > 0 && used <= 256 ? used : size_t(1) << depth;
    header.mode = depth > 1 && entries > 2 && is_gray_ramp(in, 14 + info, entries, old ? 3 : 4) ? ColorMode::gray : ColorMode::indexed;
  } else if (depth == 32 && compression == 3 && info >= 56 && in.le32(66) != 0) {
    header.mode = ColorMode::rgba;
  }
  return header;
}

}  // namespace image_header

ImageHeader read_image_header(std::string_view bytes) {
  using namespace std::string_view_literals;
  if (bytes.empty()) fail("no bytes where a picture was expected");
  if (bytes.substr(0, 2) == "\xFF\xD8"sv) return image_header::jpeg(bytes);
  if (bytes.substr(0, 8) == "\x89PNG\r\n\x1A\n"sv) return image_header::png(bytes);
  if (bytes.substr(0, 4) == "RIFF" && bytes.size() >= 16 && bytes.substr(8, 4) == "WEBP") return image_header::webp(bytes);
  if (bytes.substr(0, 6) == "GIF87a" || bytes.substr(0, 6) == "GIF89a") return image_header::gif(bytes);
  if (bytes.substr(0, 2) == "BM" && bytes.size() >= 26) return image_header::bmp(bytes);
  fail("not a JPEG, PNG, WebP, GIF or BMP picture (", bytes.size(), " bytes)");
}

ImageSize read_image_size(std::string_view bytes) { return read_image_header(bytes).size; }

int exif_orientation(std::string_view tiff) {
  if (tiff.size() < 8) return 1;
  const bool little = tiff.substr(0, 2) == "II";
  if (!little && tiff.substr(0, 2) != "MM") return 1;
  const ByteReader in(tiff, "EXIF");
  const auto u16 = [&](size_t at) { return little ? in.le16(at) : in.be16(at); };
  const auto u32 = [&](size_t at) { return little ? in.le32(at) : in.be32(at); };
  const size_t directory = u32(4);
  if (directory > tiff.size() || tiff.size() - directory < 2) return 1;
  const size_t entries = u16(directory);
  for (size_t i = 0; i < entries; ++i) {
    const size_t at = directory + 2 + i * 12;
    if (at + 12 > tiff.size()) return 1;
    if (u16(at) != 0x0112) continue;
    const uint32_t type = u16(at + 2), value = type == 4 ? u32(at + 8) : u16(at + 8);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

}  // namespace vlm
