#pragma once
/// BLIP's image tower: a pre-norm vision transformer (Li et al., arXiv 2201.12086) under HF's names.

#include <memory>

#include "vlm/models/blip/config.h"

namespace vlm {

class BlipVision : public torch::nn::Module, public RecomputedBlocks {
 public:
  explicit BlipVision(const BlipVisionConfig& config);
  /// pixels: [B, 3, S, S]. Returns [B, N + 1, D] after the last LayerNorm, the class token first.
  Tensor forward(const Tensor& pixels) const;

 private:
  class Embeddings;
  class Layer;
  class Encoder;
  BlipVisionConfig config_;
  std::shared_ptr<Embeddings> embeddings_;
  std::shared_ptr<Encoder> encoder_;
  std::shared_ptr<LayerNorm> post_layernorm_;
};

}  // namespace vlm
