#pragma once
/// A picture changed by a text, as composed retrieval asks for it: attention decides what is changed, a style what it looks like
/// then (CoSMo, Lee et al., CVPR 2021, as arXiv 2211.07394 uses it). Specs: alignment, 7.

#include <memory>

#include "vlm/models/layers/modified_resnet.h"

namespace vlm {

struct CompositionOptions {
  int64_t feature_size = 512;       ///< channels of the feature map
  int64_t text_feature_size = 512;
  int64_t num_heads = 8;
};

/// A 1 x 1 convolution with a bias. weight: [out, in, 1, 1], bias: [out].
class PointwiseConv : public torch::nn::Module {
 public:
  PointwiseConv(int64_t in, int64_t out);
  Tensor forward(const Tensor& x) const;

  Tensor weight, bias;
};

/// Linear with a weight that is drawn from N(0, 1) and used times sqrt(2 / in). weight_orig: [out, in], bias: [out].
class EqualisedLinear : public torch::nn::Module {
 public:
  EqualisedLinear(int64_t in, int64_t out);
  Tensor forward(const Tensor& x) const;

  Tensor weight_orig, bias;

 private:
  double scale_;
};

/// Attention within the map, and from the text to all places of it, added up.
class ContentBlock : public torch::nn::Module {
 public:
  explicit ContentBlock(const CompositionOptions& options);
  struct Output {
    Tensor change;     ///< [B, C, h, w]
    Tensor attention;  ///< [B, heads, h w, h w], queries by keys
  };
  /// x: [B, C, h, w], text: [B, Ct].
  Output forward(const Tensor& x, const Tensor& text) const;

  std::shared_ptr<ConvNoBias> merge, W_v;
  std::shared_ptr<PointwiseConv> W_r;

 private:
  std::shared_ptr<ConvNoBias> W_q_, W_k_;  // self_att_generator.W_q, .W_k
  std::shared_ptr<Linear> W_t_;            // global_att_generator.W_t
  int64_t heads_;
};

class Composition : public torch::nn::Module {
 public:
  /// Throws if heads do not divide channels.
  explicit Composition(const CompositionOptions& options);
  struct Output {
    Tensor composed;   ///< [B, C, h, w]
    Tensor attention;  ///< of the first block
  };
  /// image: [B, C, h, w], the feature map of the reference picture; text: [B, Ct]. The picture's own style (mean and spread of
  /// each channel) is a constant.
  Output forward(const Tensor& image, const Tensor& text) const;

  std::shared_ptr<ContentBlock> att_module, att_module2;
  Tensor weights;  ///< [2]: how much of its change each block makes

 private:
  std::shared_ptr<EqualisedLinear> gate_, global_transform_;  // global_styler.gate.linear, .global_transform.linear
};

}  // namespace vlm
