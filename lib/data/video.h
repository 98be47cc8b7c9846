#pragma once
/// A video as the models take it, whatever it is kept in: a file, or a folder of frames.

#include "vlm/data/video_file.h"
#include "vlm/data/video_folder.h"

namespace vlm {

/// `count` frames of frame_indices(), each squashed to the size of `pictures` and normalised as a clip: [count, 3, h, w]. A file is
/// read by for_each_video_frame(), a folder by read_video_folder(). Throws a usage error for a picture, and for what is not there.
Tensor read_video(const std::filesystem::path& video, int64_t count, const PreprocessOptions& pictures, const VideoFileOptions& files = {});

/// The videos in and below a folder, by their names: files with names of videos, and folders with pictures in them, which are frames. The
/// folder itself alone if it holds pictures.
std::vector<std::filesystem::path> videos_below(const std::filesystem::path& folder);

}  // namespace vlm
