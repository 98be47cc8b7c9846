#pragma once
/// CoCa's multimodal decoder (Yu et al., arXiv 2205.01917): after each causal block, one that looks at the picture.
/// Specs: clip, 4.

#include <memory>
#include <vector>

#include "vlm/models/clip/config.h"
#include "vlm/models/layers/transformer.h"

namespace vlm {

/// Cross attention and an MLP, both pre-norm and residual.
class CrossAttentionBlock : public torch::nn::Module {
 public:
  CrossAttentionBlock(int64_t width, int64_t heads, const BlockOptions& options);
  /// x: [B, L, D], context: [B, Lk, D].
  Tensor forward(const Tensor& x, const Tensor& context) const;
  std::pair<Tensor, Tensor> keys_of(const Tensor& context) const { return attn->keys_of(ln_1_kv->forward(context)); }
  Tensor forward_keys(const Tensor& x, const Tensor& keys, const Tensor& values) const;

  std::shared_ptr<LayerNorm> ln_1, ln_1_kv, ln_2;
  std::shared_ptr<MultiheadAttention> attn;
  std::shared_ptr<LayerScale> ls_1, ls_2;
  std::shared_ptr<Mlp> mlp;

 private:
  Tensor finish(const Tensor& x, const Tensor& attended) const;
};

class MultimodalDecoder : public torch::nn::Module, public RecomputedBlocks {
 public:
  explicit MultimodalDecoder(const MultimodalConfig& config);
  /// tokens: [B, L, D] from the text tower, image: [B, N, D]. Returns logits [B, L, V].
  Tensor forward(const Tensor& tokens, const Tensor& image) const;
  /// Logits of states [B, D] that have passed all blocks.
  Tensor head(const Tensor& x) const;

  std::shared_ptr<LayerList<ResidualBlock>> resblocks;
  std::shared_ptr<LayerList<CrossAttentionBlock>> cross_attn;
  std::shared_ptr<LayerNorm> ln_final;
  Tensor text_projection;  ///< [D, V], used as x @ text_projection
};

}  // namespace vlm
