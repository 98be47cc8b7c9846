#pragma once
/// SigLIP's image tower (Zhai et al., arXiv 2303.15343) under the names of timm's vit_*_siglip_*: no class token, and one
/// learned query that attends to all patches instead of a projection. Specs: clip, 3.

#include <memory>

#include "vlm/models/clip/config.h"
#include "vlm/models/layers/basic.h"
#include "vlm/models/layers/vision_tower.h"

namespace vlm {

class SiglipVision : public VisionTower {
 public:
  SiglipVision(const SiglipVisionSizes& sizes, int64_t image_height, int64_t image_width);
  /// features: [B, D], not normalised; tokens: [B, N, D] after the last LayerNorm.
  VisionOutput forward(const Tensor& image, Trace* trace = nullptr) const override;

 private:
  class Trunk;
  std::shared_ptr<Trunk> trunk_;
  int64_t height_, width_;
};

}  // namespace vlm
