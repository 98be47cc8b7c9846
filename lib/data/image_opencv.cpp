#include "vlm/data/image_opencv.h"

#include <limits>
#include <mutex>
#include <opencv2/core.hpp>
#include <opencv2/core/utils/logger.hpp>
#include <opencv2/imgcodecs.hpp>

#include "vlm/core/error.h"

namespace vlm {

namespace opencv_decoding {

template <class Sample, class To8>
void copy_pixels(const cv::Mat& from, Image& to, To8 to8) {
  const int in_channels = from.channels();
  for (int y = 0; y < to.height; ++y) {
    const Sample* in = from.ptr<Sample>(y);
    uint8_t* out = to.row(y);
    for (int x = 0; x < to.width; ++x, in += in_channels, out += to.channels) {
      if (in_channels < 3) {
        out[0] = out[1] = out[2] = to8(in[0]);
      } else {
        out[0] = to8(in[2]), out[1] = to8(in[1]), out[2] = to8(in[0]);
      }
      if (to.channels == 4) out[3] = in_channels == 4 ? to8(in[3]) : in_channels == 2 ? to8(in[1]) : uint8_t(255);
    }
  }
}

}  // namespace opencv_decoding

void silence_opencv() {
  static std::once_flag once;
  std::call_once(once, [] {
    cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
    cv::redirectError([](int, const char*, const char*, const char*, int, void*) { return 0; });
  });
}

Image decode_with_opencv(std::string_view bytes, const ImageSize& size, bool with_alpha, DepthRule depth) {
  using namespace opencv_decoding;
  silence_opencv();
  if (bytes.size() > static_cast<size_t>(std::numeric_limits<int>::max())) fail("the picture file is larger than 2 GB");
  const cv::Mat raw(1, static_cast<int>(bytes.size()), CV_8U, const_cast<char*>(bytes.data()));
  const bool as_stored = with_alpha || depth != DepthRule::high_byte;
  cv::Mat decoded;
  try {
    decoded = cv::imdecode(raw, as_stored ? cv::IMREAD_UNCHANGED : cv::IMREAD_COLOR | cv::IMREAD_IGNORE_ORIENTATION);
  } catch (const cv::Exception&) {
    decoded.release();
  }
  if (decoded.empty()) fail("the picture's data are damaged or end early");
  if (decoded.rows != size.height || decoded.cols != size.width) {
    fail("the picture has ", decoded.cols, " x ", decoded.rows, " pixels, but its header says ", size.width, " x ", size.height);
  }
  Image image(decoded.rows, decoded.cols, with_alpha ? 4 : 3);
  if (decoded.depth() == CV_8U) {
    copy_pixels<uint8_t>(decoded, image, [](uint8_t v) { return v; });
  } else if (decoded.depth() == CV_16U && depth == DepthRule::high_byte) {
    copy_pixels<uint16_t>(decoded, image, [](uint16_t v) { return static_cast<uint8_t>(v >> 8); });
  } else if (decoded.depth() == CV_16U) {
    copy_pixels<uint16_t>(decoded, image, [](uint16_t v) { return static_cast<uint8_t>(v / 257); });
  } else {
    fail("the picture has samples of an unknown type");
  }
  return image;
}

}  // namespace vlm
