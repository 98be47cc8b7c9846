#pragma once
/// Models that look at several frames of a video as at one picture.

#include <ATen/core/Tensor.h>

namespace vlm {

/// Where such a model takes pixels [B, 3, H, W], it takes frames [B, N, 3, H, W] as well.
class VideoModel {
 public:
  virtual ~VideoModel() = default;
  /// What captions of videos begin with, [n], int64; undefined: nothing of their own.
  virtual at::Tensor video_prompt() const { return {}; }
};

}  // namespace vlm
