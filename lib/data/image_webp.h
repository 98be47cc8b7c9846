#pragma once
/// Animated WebP, of which OpenCV decodes nothing: the first frame, taken out as a file of its own.

#include <string>
#include <string_view>

#include "vlm/data/image.h"

namespace vlm {

struct WebpFrame {
  std::string file;          ///< a still WebP
  ImageSize size;
  int top = 0, left = 0;     ///< on the canvas
};

/// Throws an Error if the file ends before its first frame does, or the frame does not lie on the canvas.
WebpFrame first_webp_frame(std::string_view bytes, const ImageSize& canvas);

}  // namespace vlm
