#pragma once
/// A video as a folder of its frames: pictures that are one behind the other by their names, numbers in these counted as numbers
/// (frame9.jpg before frame10.jpg).

#include <filesystem>
#include <string>
#include <vector>

#include "vlm/data/transforms.h"
#include "vlm/data/video_frames.h"

namespace vlm {

/// Whether `a` comes before `b`: digits are compared as numbers, all else by bytes.
bool before_by_numbers(const std::string& a, const std::string& b);

/// By their names, their folders left aside.
void sort_by_numbers(std::vector<std::filesystem::path>& files);

/// `count` frames of frame_indices(), each squashed to the size of `pictures` and normalised as a clip: [count, 3, h, w]. Throws an
/// Error that names the folder, or the frame that is broken.
Tensor read_video_folder(const std::filesystem::path& folder, int64_t count, const PreprocessOptions& pictures);

}  // namespace vlm
