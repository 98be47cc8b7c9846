#include "vlm/models/layers/attention.h"

#include <ATen/ops/dropout.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "vlm/core/error.h"
#include "vlm/models/layers/fast_linear.h"

namespace vlm {

namespace attention {

Tensor merge_heads(const Tensor& x) {  // [B, H, L, d] -> [B, L, D]
  return x.transpose(1, 2).reshape({x.size(0), x.size(2), x.size(1) * x.size(3)});
}

Tensor attend_heads(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask, bool causal, double dropout = 0) {
  return at::scaled_dot_product_attention(q, k, v, mask.defined() ? std::optional<Tensor>(mask) : std::nullopt, dropout, causal);
}

void init_xavier(Tensor& weight) {
  init_uniform(weight, std::sqrt(6.0 / static_cast<double>(weight.size(0) + weight.size(1))));
}

}  // namespace attention

Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v, int64_t heads, const Tensor& mask, bool causal) {
  using namespace attention;
  return merge_heads(attend_heads(split_heads(q, heads), split_heads(k, heads), split_heads(v, heads), mask, causal));
}

Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v, int64_t heads, const Tensor& mask, const AttendOptions& options) {
  using namespace attention;
  const Tensor query = split_heads(q, heads), keys = split_heads(k, heads), values = split_heads(v, heads);
  if (!options.probabilities) return merge_heads(attend_heads(query, keys, values, mask, false, options.dropout));
  Tensor scores = at::matmul(query / std::sqrt(static_cast<double>(query.size(3))), keys.transpose(2, 3));  // [B, H, Lq, Lk]
  if (mask.defined()) scores = scores + mask;
  *options.probabilities = at::softmax(scores, -1);
  const Tensor kept = options.dropout > 0 ? at::dropout(*options.probabilities, options.dropout, true) : *options.probabilities;
  return merge_heads(at::matmul(kept, values));
}

MultiheadAttention::MultiheadAttention(int64_t width, int64_t heads, std::optional<int64_t> key_width, double dropout)
    : heads_(heads), dropout_(dropout) {
  if (heads <= 0 || width % heads != 0) fail("attention of width ", width, " cannot be split over ", heads, " heads");
  const int64_t key = key_width.value_or(width);
  if (key == width) {
    in_proj_weight = register_parameter("in_proj_weight", at::empty({3 * width, width}));
    attention::init_xavier(in_proj_weight);
  } else {
    q_proj_weight = register_parameter("q_proj_weight", at::empty({width, width}));
    k_proj_weight = register_parameter("k_proj_weight", at::empty({width, key}));
    v_proj_weight = register_parameter("v_proj_weight", at::empty({width, key}));
    for (Tensor* weight : {&q_proj_weight, &k_proj_weight, &v_proj_weight}) attention::init_xavier(*weight);
  }
  in_proj_bias = register_parameter("in_proj_bias", at::zeros({3 * width}));
  out_proj = register_module("out_proj", std::make_shared<Linear>(width, width));
  at::NoGradGuard no_grad;
  out_proj->bias.zero_();
}

Tensor MultiheadAttention::forward(const Tensor& x, const Tensor& mask, bool causal) const {
  if (!in_proj_weight.defined()) return forward_cross(x, x, mask);
  const auto qkv = fast_linear(x, in_proj_weight, in_proj_bias, packed).chunk(3, -1);     // 3 x [B, L, D]
  if (is_training() && dropout_ > 0 && !causal) return out_proj->forward(attend(qkv[0], qkv[1], qkv[2], heads_, mask, {.dropout = dropout_}));
  return out_proj->forward(attend(qkv[0], qkv[1], qkv[2], heads_, mask, causal));  // [B, L, D]
}

namespace attention {

/// The weights of q, k and v, whichever way they are stored.
std::vector<Tensor> projections(const MultiheadAttention& a) {
  if (a.in_proj_weight.defined()) return a.in_proj_weight.chunk(3);
  return {a.q_proj_weight, a.k_proj_weight, a.v_proj_weight};
}

}  // namespace attention

Tensor MultiheadAttention::forward_cross(const Tensor& query, const Tensor& context, const Tensor& mask) const {
  const auto weights = attention::projections(*this), biases = in_proj_bias.chunk(3);
  const Tensor q = fast_linear(query, weights[0], biases[0]);      // [B, Lq, D]
  const Tensor k = fast_linear(context, weights[1], biases[1]);    // [B, Lk, D]
  const Tensor v = fast_linear(context, weights[2], biases[2]);    // [B, Lk, D]
  return out_proj->forward(attend(q, k, v, heads_, mask));              // [B, Lq, D]
}

Tensor MultiheadAttention::forward_cached(const Tensor& x, KeyValueCache& cache, const Tensor& mask) const {
  const auto qkv = fast_linear(x, in_proj_weight, in_proj_bias, packed).chunk(3, -1);  // 3 x [R, n, D]
  cache.append(split_heads(qkv[1], heads_), split_heads(qkv[2], heads_));
  return out_proj->forward(attend_cached(qkv[0], cache.keys(), cache.values(), heads_, mask));
}

std::pair<Tensor, Tensor> MultiheadAttention::keys_of(const Tensor& context) const {
  const auto weights = attention::projections(*this), biases = in_proj_bias.chunk(3);
  return {split_heads(fast_linear(context, weights[1], biases[1]), heads_).contiguous(),
          split_heads(fast_linear(context, weights[2], biases[2]), heads_).contiguous()};
}

Tensor MultiheadAttention::forward_keys(const Tensor& query, const Tensor& keys, const Tensor& values) const {
  const Tensor q = fast_linear(query, attention::projections(*this)[0], in_proj_bias.chunk(3)[0]);
  return out_proj->forward(attend_cached(q, keys, values, heads_));
}

CustomAttention::CustomAttention(int64_t width, int64_t heads, const CustomAttentionOptions& options) : heads_(heads) {
  if (heads <= 0 || width % heads != 0) fail("attention of width ", width, " cannot be split over ", heads, " heads");
  const int64_t head_width = width / heads;
  in_proj_weight = register_parameter("in_proj_weight", at::empty({3 * width, width}));
  init_normal(in_proj_weight, 1.0 / std::sqrt(static_cast<double>(head_width)));
  in_proj_bias = register_parameter("in_proj_bias", at::zeros({3 * width}));
  if (options.qk_norm) {
    ln_q = register_module("ln_q", std::make_shared<LayerNorm>(head_width, options.norm_eps));
    ln_k = register_module("ln_k", std::make_shared<LayerNorm>(head_width, options.norm_eps));
  }
  if (options.scale_heads) head_scale = register_parameter("head_scale", at::ones({heads, 1, 1}));
  if (options.scale_attn_inner) ln_inner = register_module("ln_inner", std::make_shared<LayerNorm>(width, options.norm_eps));
  out_proj = register_module("out_proj", std::make_shared<Linear>(width, width));
}

Tensor CustomAttention::forward(const Tensor& x, const Tensor& mask, bool causal) const {
  const auto qkv = fast_linear(x, in_proj_weight, in_proj_bias).chunk(3, -1);
  Tensor q = split_heads(qkv[0], heads_), k = split_heads(qkv[1], heads_);  // [B, H, L, d]
  if (ln_q) q = ln_q->forward(q), k = ln_k->forward(k);
  Tensor y = attention::attend_heads(q, k, split_heads(qkv[2], heads_), mask, causal);
  if (head_scale.defined()) y = y * head_scale;
  y = attention::merge_heads(y);                                                                  // [B, L, D]
  if (ln_inner) y = ln_inner->forward(y);
  return out_proj->forward(y);
}

}  // namespace vlm
