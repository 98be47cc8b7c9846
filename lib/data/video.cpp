#include "vlm/data/video.h"

#include <ATen/ops/stack.h>

#include "vlm/core/error.h"
#include "vlm/core/log.h"
#include "vlm/data/image_folder.h"

namespace vlm {

namespace fs = std::filesystem;

Tensor read_video(const fs::path& video, int64_t count, const PreprocessOptions& pictures, const VideoFileOptions& files) {
  std::error_code error;
  if (!fs::exists(video, error)) fail_usage("no such video: ", video.string());
  if (fs::is_directory(video, error)) return read_video_folder(video, count, pictures);
  if (is_picture_name(video)) fail_usage(video.string(), " is a picture; a video is a file as clip.mp4, or a folder of frames");
  const Preprocess preprocess(frame_preprocess(pictures));
  std::vector<Tensor> frames;
  for_each_video_frame(video, count, [&](const Image& frame) { frames.push_back(preprocess(frame)); }, files);
  return normalize_frames(at::stack(frames), pictures.mean, pictures.std);
}

std::vector<fs::path> videos_below(const fs::path& folder) {
  std::vector<fs::path> inside;
  bool frames = false, files = false;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const fs::path& path = entry.path();
    if (entry.is_regular_file()) {
      frames = frames || is_picture_name(path);
      if (!is_video_name(path)) continue;
      files = true;
    } else if (!entry.is_directory() || entry.is_symlink()) {
      continue;
    }
    inside.push_back(path);
  }
  if (frames) {
    if (files) log_warning(folder.string(), ": its pictures are taken as the frames of one video, and the video files in it are left out");
    return {folder};
  }
  sort_by_numbers(inside);
  std::vector<fs::path> out;
  for (const auto& path : inside) {
    if (!fs::is_directory(path)) {
      out.push_back(path);
      continue;
    }
    const auto below = videos_below(path);
    out.insert(out.end(), below.begin(), below.end());
  }
  return out;
}

}  // namespace vlm
