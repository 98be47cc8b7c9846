#pragma once
/// JPEG by libjpeg-turbo, with the accurate integer DCT and interpolated chroma (specs: clip, 11.1).

#include <string_view>

#include "vlm/data/image.h"

namespace vlm {

/// RGB as stored: no orientation. A file that ends early is an Error, unless `options.truncated`.
Image decode_jpeg(std::string_view bytes, const DecodeOptions& options);

/// Four inks (255 = full) of a four-component JPEG, in an Image of four channels.
Image decode_jpeg_cmyk(std::string_view bytes, const DecodeOptions& options);

/// Inks to light: [h, w, 4] to [h, w, 3].
Image cmyk_to_rgb(const Image& cmyk);

}  // namespace vlm
