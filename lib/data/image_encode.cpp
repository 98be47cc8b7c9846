#include "vlm/data/image_encode.h"

#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "vlm/core/error.h"

namespace vlm {

std::string encode_png(const Image& image) {
  if (image.height < 1 || image.width < 1 || (image.channels != 3 && image.channels != 4)) {
    fail("a picture of ", image.height, " x ", image.width, " with ", image.channels, " channels cannot be written as PNG");
  }
  const int type = image.channels == 3 ? CV_8UC3 : CV_8UC4;
  const cv::Mat rgb(image.height, image.width, type, const_cast<uint8_t*>(image.pixels.data()));
  cv::Mat bgr;
  cv::cvtColor(rgb, bgr, image.channels == 3 ? cv::COLOR_RGB2BGR : cv::COLOR_RGBA2BGRA);
  std::vector<uint8_t> bytes;
  bool encoded = false;
  try {
    encoded = cv::imencode(".png", bgr, bytes);
  } catch (const cv::Exception& error) {
    fail("a picture of ", image.height, " x ", image.width, " cannot be written as PNG: ", error.err);
  }
  if (!encoded) fail("a picture of ", image.height, " x ", image.width, " cannot be written as PNG");
  return {bytes.begin(), bytes.end()};
}

}  // namespace vlm
