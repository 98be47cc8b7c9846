#pragma once
/// Pre-norm transformer blocks of CLIP's two towers (specs: clip, 2.3).

#include <memory>
#include <string>
#include <vector>

#include "vlm/models/layers/attention.h"
#include "vlm/models/layers/block_options.h"
#include "vlm/models/layers/recompute.h"

namespace vlm {

/// c_fc, activation, (ln,) c_proj.
class Mlp : public torch::nn::Module {
 public:
  Mlp(int64_t width, int64_t hidden, Activation activation, bool inner_norm, double eps);
  Tensor forward(const Tensor& x) const;

  std::shared_ptr<Linear> c_fc, c_proj;
  std::shared_ptr<LayerNorm> ln;

 private:
  Activation activation_;
};

class ResidualBlock : public torch::nn::Module {
 public:
  ResidualBlock(int64_t width, int64_t heads, const BlockOptions& options);
  /// x: [B, L, D].
  Tensor forward(Tensor x, const Tensor& mask, bool causal) const;
  /// The next tokens of a decoder, x: [R, n, D]; mask as decoding_mask() gives it.
  Tensor forward_cached(Tensor x, KeyValueCache& cache, const Tensor& mask) const;

  std::shared_ptr<LayerNorm> ln_1, ln_2, ln_attn;
  std::shared_ptr<MultiheadAttention> attn;       ///< of the default block
  std::shared_ptr<CustomAttention> custom_attn;   ///< of the custom block; both are called "attn" in weight files
  std::shared_ptr<LayerScale> ls_1, ls_2;
  std::shared_ptr<Mlp> mlp;
};

class Transformer : public torch::nn::Module, public RecomputedBlocks {
 public:
  Transformer(int64_t width, int64_t layers, int64_t heads, const BlockOptions& options);
  /// x: [B, L, D]; mask as in attend(). `trace`, if given, receives every block's output.
  Tensor forward(Tensor x, const Tensor& mask = {}, bool causal = false, std::vector<Tensor>* trace = nullptr) const;

  std::shared_ptr<LayerList<ResidualBlock>> resblocks;
};

}  // namespace vlm
