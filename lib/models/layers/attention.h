#pragma once
/// Multi-head attention under the weight names of torch.nn.MultiheadAttention and of open_clip's own variant.

#include <memory>
#include <optional>

#include "vlm/models/layers/basic.h"
#include "vlm/models/layers/kv_cache.h"

namespace vlm {

/// softmax(q kᵀ / √d + mask) v over heads. q: [B, Lq, D], k, v: [B, Lk, D]; mask: [Lq, Lk] or [B, 1 or H, Lq, Lk], added.
Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v, int64_t heads, const Tensor& mask = {}, bool causal = false);

struct AttendOptions {
  double dropout = 0;               ///< of the probabilities; the caller sees to it that this is training
  Tensor* probabilities = nullptr;  ///< where they are to be put, before dropout, [B, H, Lq, Lk]: what comes back depends on that
                                    ///< very tensor, so its gradient can be asked for (GradCAM)
};
Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v, int64_t heads, const Tensor& mask, const AttendOptions& options);

/// Which layer of a stack is to lay open its attention, and what that is.
struct AttentionTrace {
  int64_t layer = 0;
  Tensor probabilities;  ///< [B, H, Lq, Lk]
};

/// Multi-head attention (Vaswani et al., arXiv 1706.03762). Keys and values may have another width than the queries.
class MultiheadAttention : public torch::nn::Module {
 public:
  /// dropout: of the probabilities of self-attention, in training.
  MultiheadAttention(int64_t width, int64_t heads, std::optional<int64_t> key_width = std::nullopt, double dropout = 0);
  /// x: [B, L, D]; self-attention.
  Tensor forward(const Tensor& x, const Tensor& mask = {}, bool causal = false) const;
  /// query: [B, Lq, D], context: [B, Lk, Dk] (keys and values alike).
  Tensor forward_cross(const Tensor& query, const Tensor& context, const Tensor& mask = {}) const;

  /// The next tokens of a decoder: x: [R, n, D] attends to the cache and itself; mask as decoding_mask() gives it.
  Tensor forward_cached(const Tensor& x, KeyValueCache& cache, const Tensor& mask) const;
  /// Keys and values of a context [B, L, Dk]: [B, H, L, d] each, for any number of calls of forward_keys().
  std::pair<Tensor, Tensor> keys_of(const Tensor& context) const;
  /// query: [R, n, D], R = B K rows, K of which share the keys of a picture.
  Tensor forward_keys(const Tensor& query, const Tensor& keys, const Tensor& values) const;

  Tensor packed;                                          ///< in_proj_weight laid out for inference
  Tensor in_proj_weight;                                  ///< [3D, D]: q, k, v; absent when the key width differs
  Tensor q_proj_weight, k_proj_weight, v_proj_weight;     ///< [D, D], [D, Dk], [D, Dk]; present then
  Tensor in_proj_bias;                                    ///< [3D]
  std::shared_ptr<Linear> out_proj;

 private:
  int64_t heads_;
  double dropout_;
};

struct CustomAttentionOptions {
  bool qk_norm = false;           ///< LayerNorm per head on queries and keys
  bool scale_heads = false;       ///< a learned factor per head
  bool scale_attn_inner = false;  ///< LayerNorm on the merged heads (NormFormer, arXiv 2110.09456)
  double norm_eps = 1e-5;
};

/// Self-attention with the extras of open_clip's "custom" block.
class CustomAttention : public torch::nn::Module {
 public:
  CustomAttention(int64_t width, int64_t heads, const CustomAttentionOptions& options);
  Tensor forward(const Tensor& x, const Tensor& mask = {}, bool causal = false) const;

  Tensor in_proj_weight, in_proj_bias;  ///< [3D, D], [3D]
  std::shared_ptr<LayerNorm> ln_q, ln_k, ln_inner;
  Tensor head_scale;                    ///< [H, 1, 1]
  std::shared_ptr<Linear> out_proj;

 private:
  int64_t heads_;
};

}  // namespace vlm
