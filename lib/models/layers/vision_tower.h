#pragma once
/// What image towers have in common, so that a dual encoder takes any of them.

#include <torch/nn/module.h>

#include <utility>
#include <vector>

#include "vlm/models/interfaces.h"

namespace vlm {

struct VisionOutput {
  Tensor features;  ///< [B, E] (with pooling "parallel" or "cascade": [B, 1, E]); not normalised
  Tensor tokens;    ///< [B, N, D] or the pooler's queries; undefined for towers without tokens
  Tensor pooled{};  ///< [B, pooled_width()]: what `features` is the projection of; undefined where that is 0
};

/// Intermediate results, for those who want to look inside.
struct Trace {
  Tensor embeds;               ///< what enters the first block
  std::vector<Tensor> blocks;  ///< what leaves each block or stage
};

class VisionTower : public torch::nn::Module {
 public:
  /// image: [B, 3, H, W], normalised.
  virtual VisionOutput forward(const Tensor& image, Trace* trace = nullptr) const = 0;
  /// Width of VisionOutput::pooled; 0: the tower ends in no projection of one pooled vector.
  virtual int64_t pooled_width() const { return 0; }
};

}  // namespace vlm
