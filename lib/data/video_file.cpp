#include "vlm/data/video_file.h"

#include <algorithm>
#include <array>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/data/video_frames.h"

namespace vlm {

namespace fs = std::filesystem;

namespace video_file {

std::unique_ptr<VideoDecoder> make_decoder(const fs::path& file, const VideoFileOptions& options) {
  const std::string& name = options.decoder;
  if (name != "auto" && name != "opencv" && name != "ffmpeg") {
    fail_usage("there is no decoder of videos '", name, "'; it is auto, opencv or ffmpeg");
  }
  if (name != "ffmpeg") {
    if (auto decoder = make_opencv_decoder(file, options.max_pixels)) return decoder;
    if (name == "opencv") fail("OpenCV cannot open the video, or was built without what it takes (videoio with FFmpeg)");
  }
  return make_ffmpeg_decoder(file, options.max_pixels);
}

}  // namespace video_file

void check_frame_size(int64_t width, int64_t height, int64_t max_pixels) {
  if (width * height > max_pixels) {
    fail("the frames of the video have ", width, " x ", height, " pixels, more than the ", max_pixels, " that are allowed");
  }
}

bool is_video_name(const fs::path& file) {
  static constexpr std::array extensions = {".mp4", ".m4v",  ".mov", ".webm", ".mkv", ".avi", ".gif", ".mpg",
                                            ".ts",  ".mpeg", ".flv", ".wmv",  ".3gp", ".ogv", ".m2ts"};
  const std::string own = ascii_lower(file.extension().string());
  return std::any_of(extensions.begin(), extensions.end(), [&](const char* extension) { return own == extension; });
}

void for_each_video_frame(const fs::path& file, int64_t count, const TakeFrame& take, const VideoFileOptions& options) {
  std::error_code error;
  if (!fs::is_regular_file(file, error)) fail_usage("there is no video file ", file.string());
  with_context(file.string(), [&] {
    const auto decoder = video_file::make_decoder(file, options);
    const int64_t length = decoder->count_frames();
    if (length < 1) fail("the video holds no frames");
    const auto indices = frame_indices(length, count);
    const int64_t step = std::max<int64_t>(indices.size() > 1 ? indices[1] : 1, 1), wanted = indices.back() / step + 1;
    int64_t taken = 0;
    decoder->decode_frames(step, wanted, [&](const Image& frame) {
      // A video shorter than that gives its first frame every time.
      for (int64_t i = 0; i < (wanted == 1 ? count : 1); ++i) take(frame);
      ++taken;
    });
    if (taken != wanted) fail("only ", taken, " of ", wanted, " frames of the video could be decoded");
  });
}

}  // namespace vlm
