#include "vlm/data/image_jpeg.h"

#include <csetjmp>
#include <cstdio>

#include <jpeglib.h>
#include <jerror.h>

#include "vlm/core/error.h"

namespace vlm {

namespace jpeg_decoding {

/// One decompressor. libjpeg reports errors by a jump out of its own frames; the jump's target is in `guarded`, above
/// which no frame that is jumped over owns anything.
struct Decoder {
  jpeg_decompress_struct info = {};
  jpeg_error_mgr errors = {};
  jpeg_progress_mgr progress = {};
  std::jmp_buf escape;
  char message[JMSG_LENGTH_MAX] = "";
  bool ended_early = false;

  Decoder() = default;
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
  ~Decoder() { jpeg_destroy_decompress(&info); }
};

// A few kilobytes can declare thousands of scans over a huge picture; no encoder writes anywhere near this many.
constexpr int max_scans = 500;

extern "C" {
static void vlm_jpeg_error(j_common_ptr info) {
  auto* decoder = static_cast<Decoder*>(info->client_data);
  info->err->format_message(info, decoder->message);
  std::longjmp(decoder->escape, 1);
}
static void vlm_jpeg_message(j_common_ptr info, int level) {
  if (level < 0 && info->err->msg_code == JWRN_JPEG_EOF) static_cast<Decoder*>(info->client_data)->ended_early = true;
}
static void vlm_jpeg_progress(j_common_ptr info) {
  auto* decoder = static_cast<Decoder*>(info->client_data);
  if (decoder->info.input_scan_number > max_scans) {
    std::snprintf(decoder->message, sizeof decoder->message, "more than %d scans", max_scans);
    std::longjmp(decoder->escape, 1);
  }
}
}

/// Runs `body`; false if libjpeg jumped out of it (the decoder's message says why).
template <class Body>
bool guarded(Decoder& decoder, const Body& body) {
  if (setjmp(decoder.escape)) return false;
  body();
  return true;
}

Image decode(std::string_view bytes, const DecodeOptions& options, bool cmyk) {
  Decoder decoder;
  jpeg_decompress_struct& info = decoder.info;
  info.err = jpeg_std_error(&decoder.errors);
  decoder.errors.error_exit = vlm_jpeg_error;
  decoder.errors.emit_message = vlm_jpeg_message;
  decoder.progress.progress_monitor = vlm_jpeg_progress;
  info.client_data = &decoder;

  const auto refuse = [&] { fail("cannot decode the JPEG file: ", decoder.message); };
  const bool begun = guarded(decoder, [&] {
    jpeg_create_decompress(&info);
    info.progress = &decoder.progress;
    jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<unsigned long>(bytes.size()));
    jpeg_read_header(&info, TRUE);
  });
  if (!begun) refuse();
  if (static_cast<int64_t>(info.image_width) * info.image_height > options.max_pixels) fail("the JPEG file holds too many pixels");
  if (cmyk != (info.num_components == 4)) fail("the JPEG file has ", info.num_components, " components");

  const auto height = static_cast<int>(info.image_height), width = static_cast<int>(info.image_width), channels = cmyk ? 4 : 3;
  Image image(height, width, channels);
  uint8_t* const pixels = image.pixels.data();
  const bool done = guarded(decoder, [&] {
    info.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
    info.dct_method = JDCT_ISLOW;
    info.do_fancy_upsampling = TRUE;
    jpeg_start_decompress(&info);
    JSAMPROW rows[16];
    while (info.output_scanline < info.output_height) {
      const JDIMENSION first = info.output_scanline;
      JDIMENSION count = info.output_height - first;
      if (count > 16) count = 16;
      for (JDIMENSION i = 0; i < count; ++i) rows[i] = pixels + (size_t(first) + i) * size_t(width) * size_t(channels);
      jpeg_read_scanlines(&info, rows, count);
    }
  });
  if (!done) refuse();
  if (decoder.ended_early && !options.truncated) fail("the JPEG file ends early (", bytes.size(), " bytes)");
  return image;
}

}  // namespace jpeg_decoding

Image decode_jpeg_cmyk(std::string_view bytes, const DecodeOptions& options) {
  Image image = jpeg_decoding::decode(bytes, options, true);
  for (auto& level : image.pixels) level = static_cast<uint8_t>(255 - level);  // stored inverted, as Adobe began it
  return image;
}

Image cmyk_to_rgb(const Image& cmyk) {
  Image rgb(cmyk.height, cmyk.width, 3);
  const uint8_t* in = cmyk.pixels.data();
  for (size_t i = 0; i < rgb.pixels.size(); i += 3, in += 4) {
    const int light = 255 - in[3];
    for (size_t c = 0; c < 3; ++c) rgb.pixels[i + c] = static_cast<uint8_t>(light - multiply_div255(in[c], light));
  }
  return rgb;
}

Image decode_jpeg(std::string_view bytes, const DecodeOptions& options) {
  return jpeg_decoding::decode(bytes, options, false);
}

}  // namespace vlm
