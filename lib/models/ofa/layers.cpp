#include "vlm/models/ofa/layers.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include <cmath>

#include "vlm/core/error.h"
#include "vlm/models/ofa/resnet.h"

namespace vlm {

namespace ofa_layers {

Tensor in_front(const Tensor& prefix, const Tensor& x) {  // [1, H, Lp, h], [B, H, L, h]
  return at::cat({prefix.expand({x.size(0), -1, -1, -1}), x}, 2);
}

}  // namespace ofa_layers

double drop_path_of(double rate, int64_t layer, int64_t layers) {
  return layers > 1 ? rate * static_cast<double>(layer) / static_cast<double>(layers - 1) : 0;
}

OfaAttention::OfaAttention(int64_t width, int64_t heads, const OfaConfig& config) : heads_(heads), dropout_(config.attention_dropout) {
  if (heads <= 0 || width % heads != 0) fail("attention of width ", width, " cannot be split over ", heads, " heads");
  scale_ = 1 / std::sqrt(static_cast<double>(width / heads) * config.attn_scale_factor);
  q_proj = register_module("q_proj", std::make_shared<Linear>(width, width));
  k_proj = register_module("k_proj", std::make_shared<Linear>(width, width));
  v_proj = register_module("v_proj", std::make_shared<Linear>(width, width));
  out_proj = register_module("out_proj", std::make_shared<Linear>(width, width));
  if (config.scale_heads) c_attn = register_parameter("c_attn", at::ones({heads}));
}

std::pair<Tensor, Tensor> OfaAttention::keys_of(const Tensor& context) const {
  return {split_heads(k_proj->forward(context), heads_), split_heads(v_proj->forward(context), heads_)};
}

Tensor OfaAttention::forward(const Tensor& query, const Tensor& own_keys, const Tensor& own_values, const Tensor& own_bias, const OfaPrefix& prefix) const {
  const int64_t rows = query.size(0), n = query.size(1), width = query.size(2), instructions = own_keys.size(0);
  Tensor keys = own_keys, values = own_values, bias = own_bias;
  if (prefix.first.defined()) {
    keys = ofa_layers::in_front(prefix.first, keys);
    values = ofa_layers::in_front(prefix.second, values);
    if (bias.defined()) bias = at::constant_pad_nd(bias, at::IntArrayRef{prefix.first.size(2), 0});
  }
  // Rows that share keys are read as more queries of one attention, so that the keys are neither copied nor read twice.
  const Tensor q = split_heads(q_proj->forward(query).reshape({instructions, rows / instructions * n, width}), heads_);
  if (bias.defined()) {
    // Heads and rows that share a bias are not copies of it: the kernel takes strides of zero.
    bias = bias.to(q.scalar_type()).expand({instructions, heads_, q.size(2), keys.size(2)});
  }
  const double dropout = is_training() ? dropout_ : 0;
  Tensor y = at::scaled_dot_product_attention(q, keys, values, bias.defined() ? std::optional<Tensor>(bias) : std::nullopt, dropout, false, scale_);
  if (c_attn.defined()) y = y * c_attn.to(y.scalar_type()).view({1, heads_, 1, 1});
  return out_proj->forward(y.transpose(1, 2).reshape({rows, n, width}));
}

OfaAdapter::OfaAdapter(int64_t width, int64_t hidden) {
  down_proj = register_module("down_proj", std::make_shared<Linear>(width, hidden));
  up_proj = register_module("up_proj", std::make_shared<Linear>(hidden, width));
}

Tensor OfaAdapter::forward(const Tensor& x) const { return x + up_proj->forward(at::relu(down_proj->forward(x))); }

namespace ofa_layers {

/// Holds what files call trans.0 and trans.2.
class Projection : public torch::nn::Module {
 public:
  Projection(int64_t width, int64_t hidden, int64_t out) {
    down = register_module("0", std::make_shared<Linear>(width, hidden));
    up = register_module("2", std::make_shared<Linear>(hidden, out));
  }
  std::shared_ptr<Linear> down, up;
};

}  // namespace ofa_layers

OfaPromptEncoder::OfaPromptEncoder(const OfaPromptConfig& config, int64_t layers, int64_t width, int64_t heads)
    : config_(config), layers_(layers), heads_(heads) {
  const int64_t out = layers * 2 * width;
  embedding = register_module("embedding", std::make_shared<Embedding>(config.length, config.projection ? width : out));
  if (!config.projection) return;
  const auto trans = register_module("trans", std::make_shared<ofa_layers::Projection>(width, config.hidden > 0 ? config.hidden : 2 * width, out));
  down = trans->down;
  up = trans->up;
}

std::vector<OfaPrefix> OfaPromptEncoder::forward() const {
  Tensor x = embedding->weight;                                       // [Lp, layers 2 D], or [Lp, D] before the projection
  if (down) x = up->forward(at::relu(down->forward(x)));
  if (is_training() && config_.dropout > 0) x = at::dropout(x, config_.dropout, true);
  x = x.view({config_.length, 2 * layers_, heads_, -1}).permute({1, 2, 0, 3}).unsqueeze(1);  // [2 layers, 1, H, Lp, h]
  std::vector<OfaPrefix> out;
  for (int64_t layer = 0; layer < layers_; ++layer) out.emplace_back(x.select(0, 2 * layer), x.select(0, 2 * layer + 1));
  return out;
}

OfaLayer::OfaLayer(int64_t width, int64_t heads, int64_t ffn, bool pre_norm, double drop_path, const OfaConfig& config)
    : pre_norm_(pre_norm),
      drop_path_(drop_path),
      dropout_(config.dropout),
      activation_dropout_(config.activation_dropout),
      activation_(config.activation),
      relu_(config.relu) {
  self_attn = register_module("self_attn", std::make_shared<OfaAttention>(width, heads, config));
  self_attn_layer_norm = register_module("self_attn_layer_norm", std::make_shared<LayerNorm>(width));
  if (config.scale_attn) self_attn_mid_layer_norm = register_module("self_attn_mid_layer_norm", std::make_shared<LayerNorm>(width));
  fc1 = register_module("fc1", std::make_shared<Linear>(width, ffn));
  fc2 = register_module("fc2", std::make_shared<Linear>(ffn, width));
  if (config.scale_fc) ffn_layer_norm = register_module("ffn_layer_norm", std::make_shared<LayerNorm>(ffn));
  final_layer_norm = register_module("final_layer_norm", std::make_shared<LayerNorm>(width));
  if (config.scale_resids) w_resid = register_parameter("w_resid", at::ones({width}));
  if (config.adapter) adapter = register_module("adapter", std::make_shared<OfaAdapter>(width, config.adapter_dim));
}

Tensor OfaLayer::join(const Tensor& residual, const Tensor& branch, const LayerNorm* mid, const LayerNorm& block) const {
  Tensor x = mid ? mid->forward(branch) : branch;
  if (is_training() && dropout_ > 0) x = at::dropout(x, dropout_, true);
  x = residual + drop_path(x, drop_path_, is_training());
  return pre_norm_ ? x : block.forward(x);
}

Tensor OfaLayer::activated(const Tensor& x) const { return relu_ ? at::relu(x) : activate(x, activation_); }

Tensor OfaLayer::feed_forward(const Tensor& input) const {
  Tensor x = activated(fc1->forward(before(*final_layer_norm, input)));
  if (is_training() && activation_dropout_ > 0) x = at::dropout(x, activation_dropout_, true);
  if (ffn_layer_norm) x = ffn_layer_norm->forward(x);
  x = fc2->forward(x);
  if (is_training() && dropout_ > 0) x = at::dropout(x, dropout_, true);
  if (adapter) x = adapter->forward(x);
  x = (w_resid.defined() ? w_resid * input : input) + drop_path(x, drop_path_, is_training());
  return pre_norm_ ? x : final_layer_norm->forward(x);
}

OfaEncoderLayer::OfaEncoderLayer(const OfaConfig& config, double drop_path)
    : OfaLayer(config.width, config.encoder_heads, config.encoder_ffn, config.encoder_pre_norm, drop_path, config) {}

Tensor OfaEncoderLayer::forward(const Tensor& input, const Tensor& bias, const OfaPrefix& prefix) const {
  Tensor x = before(*self_attn_layer_norm, input);
  const auto [keys, values] = self_attn->keys_of(x);
  x = join(input, self_attn->forward(x, keys, values, bias, prefix), self_attn_mid_layer_norm.get(), *self_attn_layer_norm);
  return feed_forward(x);                                                                   // [B, N, D]
}

OfaDecoderLayer::OfaDecoderLayer(const OfaConfig& config, double drop_path)
    : OfaLayer(config.width, config.decoder_heads, config.decoder_ffn, config.decoder_pre_norm, drop_path, config) {
  cross_attn = register_module("cross_attn", std::make_shared<OfaAttention>(config.width, config.decoder_heads, config));
  cross_attn_layer_norm = register_module("cross_attn_layer_norm", std::make_shared<LayerNorm>(config.width));
  if (config.scale_attn) cross_attn_mid_layer_norm = register_module("cross_attn_mid_layer_norm", std::make_shared<LayerNorm>(config.width));
}

Tensor OfaDecoderLayer::forward(const Tensor& input, KeyValueCache* cache, const Tensor& self_bias, const OfaPrefix& prefix,
                                const std::pair<Tensor, Tensor>& cross, const Tensor& cross_bias) const {
  Tensor x = before(*self_attn_layer_norm, input);
  auto [keys, values] = self_attn->keys_of(x);
  if (cache) {
    cache->append(keys, values);
    keys = cache->keys();
    values = cache->values();
  }
  x = join(input, self_attn->forward(x, keys, values, self_bias, prefix), self_attn_mid_layer_norm.get(), *self_attn_layer_norm);
  const Tensor looked = cross_attn->forward(before(*cross_attn_layer_norm, x), cross.first, cross.second, cross_bias);
  x = join(x, looked, cross_attn_mid_layer_norm.get(), *cross_attn_layer_norm);
  return feed_forward(x);                                                                   // [R, n, D]
}

void OfaDecoderLayer::remember(const Tensor& x, KeyValueCache& cache) const {
  const auto [keys, values] = self_attn->keys_of(before(*self_attn_layer_norm, x));
  cache.append(keys, values);
}

}  // namespace vlm
