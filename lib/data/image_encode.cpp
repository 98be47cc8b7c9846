#include "vlm/data/image_encode.h"

#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "vlm/core/error.h"

namespace vlm {

namespace image_encode {

std::string encode(const Image& image, const char* extension, const char* format, const std::vector<int>& parameters) {
  const int type = image.channels == 3 ? CV_8UC3 : CV_8UC4;
  const cv::Mat rgb(image.height, image.width, type, const_cast<uint8_t*>(image.pixels.data()));
  cv::Mat bgr;
  cv::cvtColor(rgb, bgr, image.channels == 3 ? cv::COLOR_RGB2BGR : cv::COLOR_RGBA2BGRA);
  std::vector<uint8_t> bytes;
  bool encoded = false;
  try {
    encoded = cv::imencode(extension, bgr, bytes, parameters);
  } catch (const cv::Exception& error) {
    fail("a picture of ", image.height, " x ", image.width, " cannot be written as ", format, ": ", error.err);
  }
  if (!encoded) fail("a picture of ", image.height, " x ", image.width, " cannot be written as ", format);
  return {bytes.begin(), bytes.end()};
}

void check(const Image& image, const char* format, bool with_alpha) {
  if (image.height < 1 || image.width < 1 || (image.channels != 3 && !(with_alpha && image.channels == 4))) {
    fail("a picture of ", image.height, " x ", image.width, " with ", image.channels, " channels cannot be written as ", format);
  }
}

}  // namespace image_encode

std::string encode_png(const Image& image) {
  image_encode::check(image, "PNG", true);
  return image_encode::encode(image, ".png", "PNG", {});
}

std::string encode_jpeg(const Image& image, int quality) {
  image_encode::check(image, "JPEG", false);
  return image_encode::encode(image, ".jpg", "JPEG", {cv::IMWRITE_JPEG_QUALITY, quality});
}

}  // namespace vlm
