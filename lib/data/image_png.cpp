#include "vlm/data/image_png.h"

#include <zlib.h>

#include "vlm/core/error.h"

namespace vlm {

namespace png_chunks {

struct Chunk {
  std::string_view type, data, whole;
};

/// Calls `visit(chunk)` for each chunk up to IEND or the end of the file, while it returns true.
template <class Visit>
void walk(const ByteReader& in, const Visit& visit) {
  for (size_t at = 8; at < in.size();) {
    const size_t length = in.be32(at);
    const Chunk chunk{in.part(at + 4, 4), in.part(at + 8, length), in.part(at, length + 12)};
    if (chunk.type == "IEND" || !visit(chunk)) return;
    at += length + 12;
  }
}

bool checksum_holds(const Chunk& chunk) {
  const ByteReader in(chunk.whole, "PNG");
  const auto* begin = reinterpret_cast<const unsigned char*>(chunk.type.data());
  return crc32(0, begin, static_cast<uInt>(chunk.data.size() + 4)) == in.be32(chunk.whole.size() - 4);
}

}  // namespace png_chunks

std::string essential_png(std::string_view bytes, const ImageSize& size) {
  using namespace std::string_view_literals;
  const ByteReader in(bytes, "PNG");
  std::string out(bytes.substr(0, 8));
  out.reserve(bytes.size() + 12);
  uint64_t compressed = 0;
  const bool indexed = in.u8(25) == 3;
  bool have_palette = false;
  png_chunks::walk(in, [&](const png_chunks::Chunk& chunk) {
    if (chunk.type != "IHDR" && chunk.type != "PLTE" && chunk.type != "tRNS" && chunk.type != "IDAT") return true;
    if (chunk.type == "tRNS" && (compressed > 0 || (indexed && !have_palette))) return true;  // out of place
    if (chunk.type == "PLTE") have_palette = true;
    if (!png_chunks::checksum_holds(chunk)) fail("the PNG file's ", chunk.type, " chunk has a wrong checksum");
    if (chunk.type == "IDAT") compressed += chunk.data.size();
    out += chunk.whole;
    return true;
  });
  if (compressed == 0) fail("the PNG file ends before its data");
  if (indexed && !have_palette) fail("the PNG file has indexed colours but no palette");
  // Deflate packs at most 1032 to 1.
  constexpr uint64_t channels[] = {1, 0, 3, 1, 2, 0, 4};
  const uint64_t type = in.u8(25), depth = in.u8(24);
  const uint64_t row = (static_cast<uint64_t>(size.width) * (type < 7 ? channels[type] : 1) * depth + 7) / 8;
  if (row * static_cast<uint64_t>(size.height) / 1032 > compressed) {
    fail("the PNG file holds ", compressed, " bytes of data, too few for ", size.width, " x ", size.height, " pixels");
  }
  out += "\0\0\0\0IEND\xAE\x42\x60\x82"sv;
  return out;
}

std::optional<uint8_t> transparent_gray(std::string_view bytes) {
  const ByteReader in(bytes, "PNG");
  const uint32_t depth = in.u8(24);
  std::optional<uint8_t> level;
  if (in.u8(25) != 0 || depth > 8) return level;
  png_chunks::walk(in, [&](const png_chunks::Chunk& chunk) {
    if (chunk.type == "tRNS" && chunk.data.size() >= 2) {
      const uint32_t stored = ByteReader(chunk.data, "PNG").be16(0), largest = (1u << depth) - 1;
      if (stored <= largest) level = static_cast<uint8_t>(stored * 255 / largest);
    }
    return chunk.type != "IDAT";
  });
  return level;
}

}  // namespace vlm
