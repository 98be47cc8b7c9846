#include "vlm/data/image_webp.h"

#include "vlm/core/error.h"
#include "vlm/data/image_header.h"

namespace vlm {

namespace webp_chunks {

void append_le(std::string& out, uint32_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i) & 0xFF);
}

}  // namespace webp_chunks

WebpFrame first_webp_frame(std::string_view bytes, const ImageSize& canvas) {
  const ByteReader in(bytes, "WebP");
  size_t at = 12;
  while (in.part(at, 4) != "ANMF") {
    const size_t length = in.le32(at + 4);
    in.part(at + 8, length);
    at += 8 + length + (length & 1);
  }
  const auto data = in.part(at + 8, in.le32(at + 4));
  const ByteReader frame_in(data, "WebP");
  WebpFrame frame;
  frame.left = static_cast<int>(frame_in.le24(0) * 2);
  frame.top = static_cast<int>(frame_in.le24(3) * 2);
  frame.size = {static_cast<int>(frame_in.le24(9) + 1), static_cast<int>(frame_in.le24(6) + 1)};
  if (frame.left + frame.size.width > canvas.width || frame.top + frame.size.height > canvas.height) {
    fail("the WebP file's first frame does not lie on its canvas");
  }
  const auto chunks = frame_in.part(16, data.size() - 16);
  std::string body = "WEBPVP8X";
  webp_chunks::append_le(body, 10, 4);
  webp_chunks::append_le(body, 0x10, 4);  // may have alpha
  webp_chunks::append_le(body, static_cast<uint32_t>(frame.size.width - 1), 3);
  webp_chunks::append_le(body, static_cast<uint32_t>(frame.size.height - 1), 3);
  body += chunks;
  frame.file = "RIFF";
  webp_chunks::append_le(frame.file, static_cast<uint32_t>(body.size()), 4);
  frame.file += body;
  return frame;
}

}  // namespace vlm
