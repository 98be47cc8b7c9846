#include "vlm/data/video_decoder.h"

#ifdef VLM_OPENCV_VIDEOIO
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#include <opencv2/videoio.hpp>

#include "vlm/core/error.h"
#include "vlm/data/image_opencv.h"
#endif

namespace vlm {

#ifdef VLM_OPENCV_VIDEOIO

namespace video_opencv {

/// Orientation as EXIF numbers it. 4.6.0 alone gives the angle of the other direction.
int orientation(const cv::VideoCapture& capture) {
  int angle = static_cast<int>(capture.get(cv::CAP_PROP_ORIENTATION_META));
  if (cv::getVersionMajor() == 4 && cv::getVersionMinor() == 6 && cv::getVersionRevision() == 0) angle = -angle;
  switch ((angle % 360 + 360) % 360) {
    case 90: return 6;
    case 180: return 3;
    case 270: return 8;
    default: return 1;
  }
}

class Decoder : public VideoDecoder {
 public:
  Decoder(const std::filesystem::path& file, int64_t max_pixels)
      : file_(std::filesystem::absolute(file).string()), max_pixels_(max_pixels) {}

  int64_t count_frames() override {
    cv::VideoCapture capture;
    if (!open(capture)) fail("OpenCV cannot open the video");
    int64_t frames = 0;
    while (capture.grab()) ++frames;
    return frames;
  }

  void decode_frames(int64_t step, int64_t count, const TakeFrame& take) override {
    cv::VideoCapture capture;
    if (!open(capture)) fail("OpenCV cannot open the video");
    const int turned = orientation(capture);
    cv::Mat bgr;
    for (int64_t n = 0, taken = 0; taken < count && capture.grab(); ++n) {
      if (n % step != 0) continue;
      if (!capture.retrieve(bgr) || bgr.empty() || bgr.type() != CV_8UC3) fail("OpenCV cannot decode frame ", n, " of the video");
      check_frame_size(bgr.cols, bgr.rows, max_pixels_);
      Image frame(bgr.rows, bgr.cols);
      cv::Mat rgb(bgr.rows, bgr.cols, CV_8UC3, frame.pixels.data());
      cv::cvtColor(bgr, rgb, cv::COLOR_BGR2RGB);
      take(orient_image(frame, turned));
      ++taken;
    }
  }

  /// By FFmpeg's libraries alone: other backends take names for patterns, addresses or pipelines.
  bool open(cv::VideoCapture& capture) const {
    silence_opencv();
    try {
      if (!capture.open(file_, cv::CAP_FFMPEG)) return false;
    } catch (const cv::Exception&) {
      return false;
    }
    capture.set(cv::CAP_PROP_ORIENTATION_AUTO, 0);
    const auto pixels = [&](cv::VideoCaptureProperties side) { return static_cast<int64_t>(capture.get(side)); };
    check_frame_size(pixels(cv::CAP_PROP_FRAME_WIDTH), pixels(cv::CAP_PROP_FRAME_HEIGHT), max_pixels_);
    return true;
  }

 private:
  std::string file_;
  int64_t max_pixels_;
};

}  // namespace video_opencv

std::unique_ptr<VideoDecoder> make_opencv_decoder(const std::filesystem::path& file, int64_t max_pixels) {
  auto decoder = std::make_unique<video_opencv::Decoder>(file, max_pixels);
  cv::VideoCapture capture;
  if (!decoder->open(capture)) return nullptr;
  return decoder;
}

#else

std::unique_ptr<VideoDecoder> make_opencv_decoder(const std::filesystem::path&, int64_t) { return nullptr; }

#endif

}  // namespace vlm
