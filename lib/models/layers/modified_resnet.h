#pragma once
/// CLIP's ResNet (Radford et al., arXiv 2103.00020, section 2.4): a three-layer stem, average pooling instead of strided
/// convolutions, and attention pooling at the end. Specs: clip, 2.5.

#include <memory>
#include <vector>

#include "vlm/models/clip/config.h"
#include "vlm/models/layers/basic.h"
#include "vlm/models/layers/vision_tower.h"

namespace vlm {

/// Batch normalisation of [B, C, H, W]; running statistics in evaluation, the batch's (and an update of the former) in training.
class BatchNorm2d : public torch::nn::Module {
 public:
  explicit BatchNorm2d(int64_t channels);
  Tensor forward(const Tensor& x) const;

  Tensor weight, bias, running_mean, running_var;  ///< [C]
  Tensor num_batches_tracked;                      ///< [], int64
};

/// A convolution without bias whose output has the input's size divided by `stride`.
class ConvNoBias : public torch::nn::Module {
 public:
  ConvNoBias(int64_t in, int64_t out, int64_t kernel, int64_t stride = 1);
  Tensor forward(const Tensor& x) const;

  Tensor weight;  ///< [out, in, K, K]

 private:
  int64_t stride_, padding_;
};

class Bottleneck : public torch::nn::Module {
 public:
  static constexpr int64_t expansion = 4;
  Bottleneck(int64_t in, int64_t planes, int64_t stride);
  Tensor forward(const Tensor& x) const;

  std::shared_ptr<ConvNoBias> conv1, conv2, conv3, downsample_conv;
  std::shared_ptr<BatchNorm2d> bn1, bn2, bn3, downsample_bn;

 private:
  int64_t stride_;
};

/// One query, the mean of all positions, attends to the mean and the positions.
class AttentionPool2d : public torch::nn::Module {
 public:
  AttentionPool2d(int64_t side, int64_t width, int64_t heads, int64_t embed_dim);
  /// x: [B, C, H, W]. Returns what the query found, [B, C], and its projection by c_proj, [B, E].
  std::pair<Tensor, Tensor> forward(const Tensor& x) const;

  Tensor positional_embedding;  ///< [side² + 1, C]
  std::shared_ptr<Linear> q_proj, k_proj, v_proj, c_proj;

 private:
  int64_t heads_;
};

class ModifiedResNet : public VisionTower {
 public:
  ModifiedResNet(const VisionConfig& config, int64_t embed_dim);
  /// The trace's blocks are the outputs of the four stages.
  VisionOutput forward(const Tensor& image, Trace* trace = nullptr) const override;
  int64_t pooled_width() const override { return attnpool->c_proj->weight.size(1); }

  std::shared_ptr<ConvNoBias> conv1, conv2, conv3;
  std::shared_ptr<BatchNorm2d> bn1, bn2, bn3;
  std::vector<std::shared_ptr<LayerList<Bottleneck>>> stages;
  std::shared_ptr<AttentionPool2d> attnpool;

 private:
  int64_t height_, width_;
};

}  // namespace vlm
