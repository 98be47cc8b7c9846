#pragma once
/// Which frames of a video are looked at, and how they become a model's input, as mPLUG does it (specs: mplug, 3.7).

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace vlm {

struct PreprocessOptions;  // data/transforms.h

using at::Tensor;

/// 0, d, 2 d, … with d = floor(length / count), so the end is looked at less; all 0 where there are fewer frames than wanted.
/// length, count: at least 1.
std::vector<int64_t> frame_indices(int64_t length, int64_t count);

/// How a single frame is prepared where pictures are by `pictures`: squashed to their size, and left in levels.
PreprocessOptions frame_preprocess(const PreprocessOptions& pictures);

/// frames: [T, 3, h, w], any type. If the clip has a value above 1 it is divided by 255; then (x - mean) / std of each channel. Returns
/// float32. mean, std: three numbers; those of CLIP by default (data/transforms.h).
Tensor normalize_frames(const Tensor& frames);
Tensor normalize_frames(const Tensor& frames, const std::vector<double>& mean, const std::vector<double>& std);

}  // namespace vlm
