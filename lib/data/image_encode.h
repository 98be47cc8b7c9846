#pragma once
/// Pictures to files.

#include <string>

#include "vlm/data/image.h"

namespace vlm {

/// `image` (RGB or RGBA) as the bytes of a PNG file, without loss. Throws if the image is empty or too large for the format.
std::string encode_png(const Image& image);

}  // namespace vlm
