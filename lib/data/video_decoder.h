#pragma once
/// What decodes a video file, seen by data/video_file.cpp only. Both decoders are there in every build.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>

#include "vlm/data/image.h"

namespace vlm {

using TakeFrame = std::function<void(const Image&)>;

class VideoDecoder {
 public:
  virtual ~VideoDecoder() = default;
  /// How many frames there are, exactly: all are decoded for that.
  virtual int64_t count_frames() = 0;
  /// Frames 0, step, 2 step, … to `take`, `count` of them or as many as there are: upright, RGB, as large as they are. An Error says
  /// what is wrong with the file.
  virtual void decode_frames(int64_t step, int64_t count, const TakeFrame& take) = 0;
};

/// The program ffmpeg, 5.1 or later. Throws a usage error that says how to get it if it is not on PATH.
std::unique_ptr<VideoDecoder> make_ffmpeg_decoder(const std::filesystem::path& file, int64_t max_pixels);

/// OpenCV's videoio. Null where this build has none, or where it cannot open the file.
std::unique_ptr<VideoDecoder> make_opencv_decoder(const std::filesystem::path& file, int64_t max_pixels);

/// Throws if a frame has more pixels than that.
void check_frame_size(int64_t width, int64_t height, int64_t max_pixels);

}  // namespace vlm
