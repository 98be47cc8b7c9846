#pragma once
/// Video files (mp4, webm, mkv, avi, mov, gif, …), of which some frames are looked at. They are decoded by OpenCV's videoio where the
/// library was built with it, else by the program ffmpeg (5.1 or later).

#include <cstdint>
#include <filesystem>
#include <string>

#include "vlm/core/config.h"
#include "vlm/data/video_decoder.h"

namespace vlm {

struct VideoFileOptions {
  std::string decoder = "auto";
  int64_t max_pixels = DecodeOptions().max_pixels;  ///< of a frame; a video with more is refused

  void fields(Fields& f) {
    f.field("decoder", decoder, "opencv, ffmpeg, or auto: OpenCV if it can open the file, else ffmpeg");
    f.field("max_pixels", max_pixels, "videos with larger frames are refused");
  }
};

/// True for names of videos, GIF pictures among them.
bool is_video_name(const std::filesystem::path& file);

/// Calls `take` with `count` frames, those of frame_indices(): upright, RGB, as large as they are in the file, which is decoded twice (its
/// frames are counted first). One Error names a file that is damaged or cut, or holds no video; a usage error says that there is no
/// decoder, and how to get one. A cut that the format cannot tell (GIF, MPEG-TS, and all of them with OpenCV) makes a shorter video.
void for_each_video_frame(const std::filesystem::path& file, int64_t count, const TakeFrame& take, const VideoFileOptions& options = {});

}  // namespace vlm
