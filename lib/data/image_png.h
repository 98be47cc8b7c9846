#pragma once
/// What is done to a PNG file before OpenCV (and libpng behind it) sees it.

#include <optional>
#include <string>
#include <string_view>

#include "vlm/data/image.h"
#include "vlm/data/image_header.h"

namespace vlm {

/// The file with the chunks that make the picture and nothing else: colour profiles, texts and gamma, which are ignored
/// anyway, can neither blow up nor make libpng complain on standard error. Throws an Error if the file ends early, a
/// checksum is wrong, or there are too few data for the size that the header declares.
std::string essential_png(std::string_view bytes, const ImageSize& size);

/// The stored grey level that stands for transparent in a grey picture without alpha, as an 8-bit level (16-bit pictures:
/// none, since OpenCV's 8 bits cannot tell it apart).
std::optional<uint8_t> transparent_gray(std::string_view bytes);

}  // namespace vlm
