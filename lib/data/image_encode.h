#pragma once
/// Pictures to files.

#include <string>

#include "vlm/data/image.h"

namespace vlm {

/// `image` (RGB or RGBA) as the bytes of a PNG file, without loss. Throws if the image is empty or too large for the format.
std::string encode_png(const Image& image);

/// `image` (RGB) as the bytes of a JPEG file. quality: 1 to 100. Throws if the image is empty or too large for the format.
std::string encode_jpeg(const Image& image, int quality = 85);

}  // namespace vlm
