#pragma once
/// The first frame of a GIF, by giflib.

#include <string_view>

#include "vlm/data/image.h"

namespace vlm {

/// The screen with the first frame on it. `with_alpha`: four channels, the transparent index has alpha 0; otherwise RGB,
/// where that index is a colour like any other.
Image decode_gif(std::string_view bytes, const ImageSize& screen, bool with_alpha);

}  // namespace vlm
