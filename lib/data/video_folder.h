#pragma once
/// A video: a file (data/video_file.h), or a folder of its frames, pictures that are one behind the other by their names, numbers in these
/// counted as numbers (frame9.jpg before frame10.jpg).

#include <filesystem>
#include <string>

#include "vlm/data/transforms.h"
#include "vlm/data/video_frames.h"

namespace vlm {

/// Whether `a` comes before `b`: digits are compared as numbers, all else by bytes.
bool before_by_numbers(const std::string& a, const std::string& b);

/// `count` frames of frame_indices(), each squashed to the size of `pictures` and normalised as a clip: [count, 3, h, w]. Throws an
/// Error that names the folder, the frame that is broken, or the file.
Tensor read_video(const std::filesystem::path& video, int64_t count, const PreprocessOptions& pictures);

}  // namespace vlm
