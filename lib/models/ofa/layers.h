#pragma once
/// The parts of OFA's encoder and decoder layers (specs: ofa, 2.2, 2.3, 8.1, 8.2).

#include <memory>
#include <utility>
#include <vector>

#include "vlm/models/layers/basic.h"
#include "vlm/models/layers/kv_cache.h"
#include "vlm/models/ofa/config.h"

namespace vlm {

/// Keys and values that stand in front of a layer's own: [1, H, Lp, h] each; undefined where there are none.
using OfaPrefix = std::pair<Tensor, Tensor>;

/// softmax(s q kᵀ + bias) v with s = (h * scale_factor)^(-1/2); the other half of the scores' budget belongs to positions.
class OfaAttention : public torch::nn::Module {
 public:
  OfaAttention(int64_t width, int64_t heads, const OfaConfig& config);
  /// [B, L, D] -> keys and values, [B, H, L, h].
  std::pair<Tensor, Tensor> keys_of(const Tensor& context) const;
  /// query: [R, n, D], R = B K rows of which K share the keys of one instruction; keys, values: [B, H, L, h]; bias, added:
  /// [B or 1, H or 1, K n or n, L] or undefined. The prefix is seen by all, with a bias of zero.
  Tensor forward(const Tensor& query, const Tensor& keys, const Tensor& values, const Tensor& bias, const OfaPrefix& prefix = {}) const;

  std::shared_ptr<Linear> q_proj, k_proj, v_proj, out_proj;
  Tensor c_attn;  ///< [H]: a factor for each head; undefined without scale_heads

 private:
  int64_t heads_;
  double scale_, dropout_;
};

/// x + up(relu(down(x))) (Houlsby et al., arXiv 1902.00751).
class OfaAdapter : public torch::nn::Module {
 public:
  OfaAdapter(int64_t width, int64_t hidden);
  Tensor forward(const Tensor& x) const;

  std::shared_ptr<Linear> down_proj, up_proj;
};

/// Deep prefix prompts: keys and values for every layer of a stack (Yang et al., arXiv 2208.02532).
class OfaPromptEncoder : public torch::nn::Module {
 public:
  OfaPromptEncoder(const OfaPromptConfig& config, int64_t layers, int64_t width, int64_t heads);
  /// One prefix a layer.
  std::vector<OfaPrefix> forward() const;

  std::shared_ptr<Embedding> embedding;
  std::shared_ptr<Linear> down, up;  ///< "trans.0" and "trans.2"; absent without projection

 private:
  OfaPromptConfig config_;
  int64_t layers_, heads_;
};

/// What both kinds of layers do: attention and feed-forward blocks with the norms of NormFormer (arXiv 2110.09456).
class OfaLayer : public torch::nn::Module {
 public:
  /// `drop_path`: probability that a sample passes this layer by.
  OfaLayer(int64_t width, int64_t heads, int64_t ffn, bool pre_norm, double drop_path, const OfaConfig& config);

  std::shared_ptr<OfaAttention> self_attn;
  std::shared_ptr<LayerNorm> self_attn_layer_norm, self_attn_mid_layer_norm;  ///< the mid norm is absent without scale_attn
  std::shared_ptr<Linear> fc1, fc2;
  std::shared_ptr<LayerNorm> ffn_layer_norm, final_layer_norm;                ///< absent without scale_fc; always there
  Tensor w_resid;                                                            ///< [D]; undefined without scale_resids
  std::shared_ptr<OfaAdapter> adapter;

 protected:
  /// residual + drop_path(dropout(norm(x))), with the norm of the block behind it where the layer is post-norm.
  Tensor join(const Tensor& residual, const Tensor& x, const LayerNorm* mid, const LayerNorm& block) const;
  Tensor feed_forward(const Tensor& x) const;
  Tensor before(const LayerNorm& norm, const Tensor& x) const { return pre_norm_ ? norm.forward(x) : x; }

  bool pre_norm_;

 private:
  Tensor activated(const Tensor& x) const;

  double drop_path_, dropout_, activation_dropout_;
  Activation activation_;
  bool relu_;
};

class OfaEncoderLayer : public OfaLayer {
 public:
  OfaEncoderLayer(const OfaConfig& config, double drop_path);
  /// x: [B, N, D]; bias: [B or 1, H, N, N].
  Tensor forward(const Tensor& x, const Tensor& bias, const OfaPrefix& prefix) const;
};

class OfaDecoderLayer : public OfaLayer {
 public:
  OfaDecoderLayer(const OfaConfig& config, double drop_path);
  /// x: [R, n, D]; keys and values of all tokens so far come out of `cache` if there is one (and go into it), else of x alone.
  /// self_bias: [R or 1, H, n, L]; cross: [B, H, N, h] each; cross_bias: [B or 1, H, K n, N].
  Tensor forward(const Tensor& x, KeyValueCache* cache, const Tensor& self_bias, const OfaPrefix& prefix, const std::pair<Tensor, Tensor>& cross,
                 const Tensor& cross_bias) const;
  /// Puts the keys and values of x, [R, n, D], into a cache without computing anything else (a layer that is skipped).
  void remember(const Tensor& x, KeyValueCache& cache) const;

  std::shared_ptr<OfaAttention> cross_attn;
  std::shared_ptr<LayerNorm> cross_attn_layer_norm, cross_attn_mid_layer_norm;
};

/// The rates of a stack: none in the first layer, `rate` in the last.
double drop_path_of(double rate, int64_t layer, int64_t layers);

}  // namespace vlm
