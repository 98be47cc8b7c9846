#pragma once
/// OFA's visual trunk: a ResNet v1.5 (He et al., arXiv 1512.03385) of bottlenecks, cut after its third stage. Specs: ofa, 2.1.

#include <memory>
#include <vector>

#include "vlm/models/layers/basic.h"

namespace vlm {

enum class TrunkNormKind {
  batch,   ///< an ordinary batch normalisation, statistics of the batch in training
  frozen,  ///< fixed statistics; weight and bias do not learn
  synced,  ///< as batch, with an epsilon of 1e-3 (statistics are those of a rank's own batch here)
};

struct TrunkOptions {
  std::vector<int64_t> blocks = {3, 4, 23};
  int64_t stem_width = 64;  ///< channels of the first convolution; features have 16 times as many
  TrunkNormKind norm = TrunkNormKind::batch;
  double drop_path = 0;     ///< of the last block of each stage
};

/// Normalisation of [B, C, H, W] that knows how to become part of the convolution before it.
class TrunkNorm : public torch::nn::Module {
 public:
  TrunkNorm(int64_t channels, TrunkNormKind kind);
  Tensor forward(const Tensor& x) const;
  /// y = x scale + shift where statistics are fixed: [C] each.
  std::pair<Tensor, Tensor> scale_and_shift() const;
  /// True if forward() looks at no batch.
  bool fixed() const { return kind_ == TrunkNormKind::frozen || !is_training(); }

  Tensor weight, bias, running_mean, running_var;  ///< [C]
  Tensor num_batches_tracked;                      ///< [], int64; absent where frozen

 private:
  TrunkNormKind kind_;
  double eps_;
};

/// A convolution without bias, padded so that only the stride shrinks its input.
class TrunkConv : public torch::nn::Module {
 public:
  TrunkConv(int64_t in, int64_t out, int64_t kernel, int64_t stride = 1);
  /// norm(conv(x)), with a ReLU behind it if `relu`; `residual`, if defined, is added before that.
  Tensor forward(const Tensor& x, const TrunkNorm& norm, bool relu, const Tensor& residual = {}) const;

  Tensor weight;  ///< [out, in, K, K]

 private:
  int64_t stride_, padding_;
};

class TrunkBlock : public torch::nn::Module {
 public:
  static constexpr int64_t expansion = 4;
  TrunkBlock(int64_t in, int64_t planes, int64_t stride, bool projected, TrunkNormKind norm, double drop_path);
  Tensor forward(const Tensor& x) const;

  std::shared_ptr<TrunkConv> conv1, conv2, conv3, downsample_conv;
  std::shared_ptr<TrunkNorm> bn1, bn2, bn3, downsample_bn;

 private:
  double drop_path_;
};

class OfaTrunk : public torch::nn::Module {
 public:
  explicit OfaTrunk(const TrunkOptions& options);
  /// pixels: [B, 3, H, W]. Returns [B, 16 w, ceil(H / 16), ceil(W / 16)].
  Tensor forward(const Tensor& pixels) const;
  int64_t channels() const { return channels_; }

  std::shared_ptr<TrunkConv> conv1;
  std::shared_ptr<TrunkNorm> bn1;
  std::vector<std::shared_ptr<LayerList<TrunkBlock>>> stages;

 private:
  int64_t channels_;
};

/// x with whole samples left out: each row is zero with probability `rate`, and else divided by 1 - rate (stochastic depth,
/// Huang et al., arXiv 1603.09382). x: [B, …].
Tensor drop_path(const Tensor& x, double rate, bool training);

}  // namespace vlm
