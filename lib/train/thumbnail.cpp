#include "vlm/train/thumbnail.h"

#include <algorithm>
#include <cmath>

#include "vlm/core/error.h"
#include "vlm/data/base64.h"
#include "vlm/data/image_encode.h"

namespace vlm {

std::string thumbnail(const Source& source, int64_t number, int side) {
  try {
    const Sample sample = source.read_number(number);
    if (sample.images.empty()) return "";
    DecodeOptions decode = source.decode_options();
    decode.alpha = Alpha::white;
    Image image = decode_image(sample.images[0].bytes, decode);
    const double scale = static_cast<double>(side) / std::max(image.height, image.width);
    if (scale < 1) {
      const auto scaled = [&](int length) { return std::max(1, static_cast<int>(std::lround(length * scale))); };
      image = resize_image(image, scaled(image.height), scaled(image.width));
    }
    return "data:image/jpeg;base64," + encode_base64(encode_jpeg(image, 85));
  } catch (const Error&) {
    return "";  // an example without its picture is better than a run that ends for it
  }
}

}  // namespace vlm
