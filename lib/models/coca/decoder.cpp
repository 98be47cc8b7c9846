#include "vlm/models/coca/decoder.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/matmul.h>

#include <algorithm>
#include <cmath>

namespace vlm {

CrossAttentionBlock::CrossAttentionBlock(int64_t width, int64_t heads, const BlockOptions& options) {
  const double eps = options.norm_kwargs.eps;
  ln_1 = register_module("ln_1", std::make_shared<LayerNorm>(width, eps));
  ln_1_kv = register_module("ln_1_kv", std::make_shared<LayerNorm>(width, eps));
  attn = register_module("attn", std::make_shared<MultiheadAttention>(width, heads));
  ln_2 = register_module("ln_2", std::make_shared<LayerNorm>(width, eps));
  const auto hidden = static_cast<int64_t>(static_cast<double>(width) * options.mlp_ratio);
  mlp = register_module("mlp", std::make_shared<Mlp>(width, hidden, options.activation(), false, eps));
  if (options.ls_init_value != 0) {
    ls_1 = register_module("ls_1", std::make_shared<LayerScale>(width, options.ls_init_value));
    ls_2 = register_module("ls_2", std::make_shared<LayerScale>(width, options.ls_init_value));
  }
}

Tensor CrossAttentionBlock::finish(const Tensor& x, const Tensor& attended) const {
  const Tensor sum = x + (ls_1 ? ls_1->forward(attended) : attended);
  const Tensor y = mlp->forward(ln_2->forward(sum));
  return sum + (ls_2 ? ls_2->forward(y) : y);
}

Tensor CrossAttentionBlock::forward(const Tensor& x, const Tensor& context) const {
  return finish(x, attn->forward_cross(ln_1->forward(x), ln_1_kv->forward(context)));
}

Tensor CrossAttentionBlock::forward_keys(const Tensor& x, const Tensor& keys, const Tensor& values) const {
  return finish(x, attn->forward_keys(ln_1->forward(x), keys, values));
}

MultimodalDecoder::MultimodalDecoder(const MultimodalConfig& config) {
  // The reference ignores the configured ratio here.
  BlockOptions options = config;
  options.mlp_ratio = 4.0;
  resblocks = register_module("resblocks", std::make_shared<LayerList<ResidualBlock>>());
  cross_attn = register_module("cross_attn", std::make_shared<LayerList<CrossAttentionBlock>>());
  const double attn_std = 1.0 / std::sqrt(static_cast<double>(config.width));
  const double out_std = attn_std / std::sqrt(2.0 * static_cast<double>(std::max<int64_t>(config.layers, 1)));
  const auto start = [&](const auto& block) {
    init_normal(block.attn->in_proj_weight, attn_std);
    init_normal(block.attn->out_proj->weight, out_std);
    init_normal(block.mlp->c_fc->weight, 1.0 / std::sqrt(2.0 * static_cast<double>(config.width)));
    init_normal(block.mlp->c_proj->weight, out_std);
  };
  for (int64_t i = 0; i < config.layers; ++i) {
    auto block = std::make_shared<ResidualBlock>(config.width, config.heads, options);
    if (block->attn) start(*block);
    resblocks->add(std::move(block));
    auto cross = std::make_shared<CrossAttentionBlock>(config.width, config.heads, options);
    start(*cross);
    cross_attn->add(std::move(cross));
  }
  ln_final = register_module("ln_final", std::make_shared<LayerNorm>(config.width, config.norm_kwargs.eps));
  text_projection = register_parameter("text_projection", at::empty({config.width, config.vocab_size}));
  init_normal(text_projection, attn_std);
}

Tensor MultimodalDecoder::forward(const Tensor& tokens, const Tensor& image) const {
  Tensor x = tokens;
  for (size_t i = 0; i < resblocks->layers().size(); ++i) {
    const auto& block = resblocks->layers()[i];
    const auto& cross = cross_attn->layers()[i];
    x = run_block(*block, [block](const std::vector<Tensor>& in) { return block->forward(in[0], {}, true); }, {x});
    x = run_block(*cross, [cross](const std::vector<Tensor>& in) { return cross->forward(in[0], in[1]); }, {x, image});
  }
  return head(x);
}

Tensor MultimodalDecoder::head(const Tensor& x) const { return at::matmul(ln_final->forward(x), text_projection); }

}  // namespace vlm
