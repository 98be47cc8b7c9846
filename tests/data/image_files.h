#pragma once
/// Picture files for tests: those of the reference cases, and PNG files made on the spot.

#include <cstdint>
#include <string>
#include <vector>

#include "vlm/core/rng.h"
#include "vlm/data/image.h"
#include "vlm/io/atomic_file.h"

namespace vlm::test {

inline std::string picture_file(const std::string& golden, const std::string& name) {
  return read_file(std::string(VLM_SOURCE_DIR) + "/tests/goldens/clip/" + golden + "/" + name);
}

/// One file of each format and kind.
inline std::vector<std::string> all_picture_files() {
  std::vector<std::string> files;
  for (const char* name : {"jpeg_420", "jpeg_cmyk", "jpeg_exif6", "jpeg_progressive", "jpeg_gray"}) files.push_back(picture_file(std::string("image_decode_") + name, "x.jpg"));
  for (const char* name : {"png_16bit", "png_1bit", "png_la", "png_palette_trns", "png_rgb"}) files.push_back(picture_file(std::string("image_decode_") + name, "x.png"));
  for (const char* name : {"webp_lossless_alpha", "webp_lossy"}) files.push_back(picture_file(std::string("image_decode_") + name, "x.webp"));
  for (const char* name : {"gif_animated", "gif_transparent"}) files.push_back(picture_file(std::string("image_decode_") + name, "x.gif"));
  files.push_back(picture_file("image_decode_bmp_rgb", "x.bmp"));
  return files;
}

inline Image random_image(int height, int width, int channels, SplitMix64& random) {
  Image image(height, width, channels);
  for (auto& level : image.pixels) level = static_cast<uint8_t>(random.next() >> 56);
  return image;
}

inline void append_be32(std::string& out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xFF);
}

inline std::string png_chunk(const std::string& type, const std::string& data) {
  std::string out;
  append_be32(out, static_cast<uint32_t>(data.size()));
  out += type + data;
  uint32_t crc = 0xFFFFFFFF;
  for (const unsigned char byte : type + data) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? crc >> 1 ^ 0xEDB88320 : crc >> 1;
  }
  append_be32(out, ~crc);
  return out;
}

/// `rows` are the packed samples of each row; `extra` goes before the data.
inline std::string png_file(uint32_t width, uint32_t height, int depth, int color_type, const std::vector<std::string>& rows, const std::string& extra = "") {
  std::string header, raw, packed = "\x78\x01";
  append_be32(header, width), append_be32(header, height);
  header += static_cast<char>(depth), header += static_cast<char>(color_type), header.append(3, '\0');
  for (const auto& row : rows) raw += '\0' + row;
  const auto n = static_cast<uint16_t>(raw.size());
  packed += '\x01';  // one stored block
  for (const uint16_t v : {n, static_cast<uint16_t>(~n)}) packed += static_cast<char>(v & 0xFF), packed += static_cast<char>(v >> 8);
  packed += raw;
  uint32_t a = 1, b = 0;
  for (const unsigned char byte : raw) a = (a + byte) % 65521, b = (b + a) % 65521;
  append_be32(packed, b << 16 | a);
  return "\x89PNG\r\n\x1A\n" + png_chunk("IHDR", header) + extra + png_chunk("IDAT", packed) + png_chunk("IEND", "");
}

}  // namespace vlm::test
