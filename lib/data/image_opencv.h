#pragma once
/// All that this project asks of OpenCV's picture decoders. Formats and sizes have been checked before.

#include <string_view>

#include "vlm/data/image.h"

namespace vlm {

/// What goes wrong is reported by exceptions; OpenCV would also print it.
void silence_opencv();

/// PNG, WebP or BMP. `with_alpha`: four channels (255 where the file has none), otherwise RGB with alpha dropped.
/// Orientation is ignored.
Image decode_with_opencv(std::string_view bytes, const ImageSize& size, bool with_alpha, DepthRule depth);

}  // namespace vlm
