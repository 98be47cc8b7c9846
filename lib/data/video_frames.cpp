#include "vlm/data/video_frames.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>

#include "vlm/core/error.h"
#include "vlm/data/transforms.h"

namespace vlm {

std::vector<int64_t> frame_indices(int64_t length, int64_t count) {
  if (length < 1 || count < 1) fail("frames are taken from a video that has some: ", count, " of ", length);
  std::vector<int64_t> out;
  for (int64_t i = 0; i < count; ++i) out.push_back(i * (length / count));
  return out;
}

PreprocessOptions frame_preprocess(const PreprocessOptions& pictures) {
  PreprocessOptions levels = pictures;
  levels.resize_mode = "squash";
  levels.crop = "none";
  levels.normalize = false;
  levels.rescale_factor = 1;
  levels.fill_color = 0;
  return levels;
}

Tensor normalize_frames(const Tensor& frames) { return normalize_frames(frames, openai_mean, openai_std); }

Tensor normalize_frames(const Tensor& frames, const std::vector<double>& mean, const std::vector<double>& std) {
  if (frames.dim() != 4 || frames.size(1) != 3 || mean.size() != 3 || std.size() != 3) {
    fail("frames are [T, 3, h, w], with three means and deviations, not ", frames.sizes());
  }
  Tensor x = frames.to(at::kFloat);
  if (x.numel() > 0 && x.max().item<float>() > 1) x = x / 255;
  const auto by_channel = [&](const std::vector<double>& values) { return at::tensor(values, at::kFloat).to(x.device()).view({1, 3, 1, 1}); };
  return (x - by_channel(mean)) / by_channel(std);
}

}  // namespace vlm
