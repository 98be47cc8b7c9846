#include "vlm/models/layers/transformer.h"

#include "vlm/core/error.h"

namespace vlm {

Mlp::Mlp(int64_t width, int64_t hidden, Activation activation, bool inner_norm, double eps) : activation_(activation) {
  c_fc = register_module("c_fc", std::make_shared<Linear>(width, hidden));
  if (inner_norm) ln = register_module("ln", std::make_shared<LayerNorm>(hidden, eps));
  c_proj = register_module("c_proj", std::make_shared<Linear>(hidden, width));
}

Tensor Mlp::forward(const Tensor& x) const {
  Tensor y = activate(c_fc->forward(x), activation_);
  if (ln) y = ln->forward(y);
  return c_proj->forward(y);
}

ResidualBlock::ResidualBlock(int64_t width, int64_t heads, const BlockOptions& options) {
  if (options.scaled_cosine_attn) fail_usage("scaled_cosine_attn is not supported: the reference implementation cannot run it either");
  const double eps = options.norm_kwargs.eps;
  ln_1 = register_module("ln_1", std::make_shared<LayerNorm>(width, eps));
  if (options.custom()) {
    const CustomAttentionOptions attention{
        .qk_norm = options.qk_norm, .scale_heads = options.scale_heads, .scale_attn_inner = options.scale_attn_inner, .norm_eps = eps};
    custom_attn = register_module("attn", std::make_shared<CustomAttention>(width, heads, attention));
    if (options.scale_attn) ln_attn = register_module("ln_attn", std::make_shared<LayerNorm>(width, eps));
  } else {
    attn = register_module("attn", std::make_shared<MultiheadAttention>(width, heads, std::nullopt, options.attention_dropout));
  }
  ln_2 = register_module("ln_2", std::make_shared<LayerNorm>(width, eps));
  const auto hidden = static_cast<int64_t>(static_cast<double>(width) * options.mlp_ratio);
  mlp = register_module("mlp", std::make_shared<Mlp>(width, hidden, options.activation(), options.scale_fc, eps));
  if (options.ls_init_value != 0) {
    ls_1 = register_module("ls_1", std::make_shared<LayerScale>(width, options.ls_init_value));
    ls_2 = register_module("ls_2", std::make_shared<LayerScale>(width, options.ls_init_value));
  }
}

Tensor ResidualBlock::forward(Tensor x, const Tensor& mask, bool causal) const {
  Tensor y = ln_1->forward(x);
  y = attn ? attn->forward(y, mask, causal) : custom_attn->forward(y, mask, causal);
  if (ln_attn) y = ln_attn->forward(y);
  x = x + (ls_1 ? ls_1->forward(y) : y);
  y = mlp->forward(ln_2->forward(x));
  return x + (ls_2 ? ls_2->forward(y) : y);  // [B, L, D]
}

Tensor ResidualBlock::forward_cached(Tensor x, KeyValueCache& cache, const Tensor& mask) const {
  if (!attn) fail("blocks of the custom type cannot decode token by token");
  Tensor y = attn->forward_cached(ln_1->forward(x), cache, mask);
  x = x + (ls_1 ? ls_1->forward(y) : y);
  y = mlp->forward(ln_2->forward(x));
  return x + (ls_2 ? ls_2->forward(y) : y);  // [R, n, D]
}

Transformer::Transformer(int64_t width, int64_t layers, int64_t heads, const BlockOptions& options) {
  resblocks = register_module("resblocks", std::make_shared<LayerList<ResidualBlock>>());
  for (int64_t i = 0; i < layers; ++i) resblocks->add(std::make_shared<ResidualBlock>(width, heads, options));
}

Tensor Transformer::forward(Tensor x, const Tensor& mask, bool causal, std::vector<Tensor>* trace) const {
  for (const auto& block : resblocks->layers()) {
    x = run_block(*block, [block, causal](const std::vector<Tensor>& in) { return block->forward(in[0], in[1], causal); }, {x, mask});
    if (trace) trace->push_back(x);
  }
  return x;
}

}  // namespace vlm
