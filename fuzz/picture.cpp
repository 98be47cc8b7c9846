// Any bytes as a picture: decoded to as many pixels as its size says, or refused with an Error.

#include <cstdlib>

#include "vlm/core/error.h"
#include "vlm/data/image.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vlm::DecodeOptions options;
  options.max_pixels = 1 << 20;
  options.truncated = size % 2 == 1;
  options.exif = size % 4 < 2 ? vlm::Exif::ignore : vlm::Exif::apply;
  options.alpha = size % 8 < 4 ? vlm::Alpha::drop : vlm::Alpha::white;
  try {
    const vlm::Image image = vlm::decode_image({reinterpret_cast<const char*>(data), size}, options);
    if (image.pixels.size() != size_t(image.height) * size_t(image.width) * size_t(image.channels)) std::abort();
  } catch (const vlm::Error&) {
  }
  return 0;
}
