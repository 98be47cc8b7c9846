#include "vlm/models/clip/text_tower.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <limits>

#include "vlm/core/error.h"

namespace vlm {

TextTransformer::TextTransformer(const TextConfig& config, int64_t embed_dim) : config_(config) {
  const int64_t width = config.width, positions = config.context_length + (config.embed_cls ? 1 : 0);
  if (config.pool_type != "argmax" && config.pool_type != "eos" && config.pool_type != "first" && config.pool_type != "last") {
    fail_usage("text_cfg.pool_type must be argmax, eos, first or last, not '", config.pool_type, "'");
  }
  token_embedding = register_module("token_embedding", std::make_shared<Embedding>(config.vocab_size, width));
  init_normal(token_embedding->weight, 0.02);
  positional_embedding = register_parameter("positional_embedding", at::empty({positions, width}));
  init_normal(positional_embedding, 0.01);
  if (config.embed_cls) {
    cls_emb = register_parameter("cls_emb", at::empty({width}));
    init_normal(cls_emb, 0.01);
  }
  transformer = register_module("transformer", std::make_shared<Transformer>(width, config.layers, config.heads, config));
  const double attn_std = 1.0 / std::sqrt(static_cast<double>(width));
  const double out_std = attn_std / std::sqrt(2.0 * static_cast<double>(std::max<int64_t>(config.layers, 1)));
  for (const auto& block : transformer->resblocks->layers()) {
    if (block->attn) {
      init_normal(block->attn->in_proj_weight, attn_std);
      init_normal(block->attn->out_proj->weight, out_std);
    }
    init_normal(block->mlp->c_fc->weight, 1.0 / std::sqrt(2.0 * static_cast<double>(width)));
    init_normal(block->mlp->c_proj->weight, out_std);
  }
  ln_final = register_module("ln_final", std::make_shared<LayerNorm>(width, config.norm_kwargs.eps));
  if (config.proj_type == "linear" && config.proj_bias) {
    projection = register_module("text_projection", std::make_shared<Linear>(width, embed_dim));
    init_normal(projection->weight, attn_std);
    at::NoGradGuard no_grad;
    projection->bias.zero_();
  } else if (config.proj_type == "linear") {
    text_projection = register_parameter("text_projection", at::empty({width, embed_dim}));
    init_normal(text_projection, attn_std);
  } else if (config.proj_type != "none") {
    fail_usage("text_cfg.proj_type must be linear or none, not '", config.proj_type, "'");
  }
}

Tensor TextTransformer::allowed_with_cls(const Tensor& ids) const {
  const int64_t rows = ids.size(0), length = ids.size(1) + 1;
  const Tensor causal = at::ones({length, length}, ids.options().dtype(at::kBool)).tril();
  const Tensor first = at::ones({rows, 1}, ids.options().dtype(at::kBool));
  const Tensor visible = at::cat({first, ids.ne(config_.pad_id)}, 1);  // [B, L + 1], shifted by one
  return causal.unsqueeze(0).logical_and(visible.unsqueeze(1));
}

TextOutput TextTransformer::forward(const Tensor& ids, Trace* trace, const Tensor& key_mask) const {
  if (ids.dim() != 2 || ids.size(1) > config_.context_length) {
    fail("the text tower takes ids [B, up to ", config_.context_length, "], not ", ids.sizes());
  }
  Tensor x = token_embedding->forward(ids);                                               // [B, L, D]
  Tensor mask;
  if (config_.embed_cls) {
    x = at::cat({x, cls_emb.to(x.scalar_type()).expand({x.size(0), 1, -1})}, 1);          // [B, L + 1, D]
    const Tensor allowed = allowed_with_cls(ids).unsqueeze(1);                            // [B, 1, L + 1, L + 1]
    mask = at::zeros(allowed.sizes(), x.options()).masked_fill_(allowed.logical_not(), -std::numeric_limits<double>::infinity());
  }
  bool causal = !config_.embed_cls && !config_.no_causal_mask;
  if (key_mask.defined() && !config_.embed_cls) {
    Tensor seen = key_mask.ne(0).view({ids.size(0), 1, 1, ids.size(1)});
    if (causal) seen = seen.logical_and(at::ones({ids.size(1), ids.size(1)}, ids.options().dtype(at::kBool)).tril());
    mask = at::zeros(seen.sizes(), x.options()).masked_fill_(seen.logical_not(), std::numeric_limits<float>::lowest());
    causal = false;
  }
  x = x + positional_embedding.slice(0, 0, x.size(1)).to(x.scalar_type());
  if (trace) trace->embeds = x;
  x = transformer->forward(x, mask, causal, trace ? &trace->blocks : nullptr);

  Tensor pooled, tokens;
  if (config_.embed_cls) {
    if (trace) {
      for (auto& block : trace->blocks) block = block.slice(1, 0, -1);
    }
    pooled = ln_final->forward(x.select(1, -1));
    tokens = x.slice(1, 0, -1);
  } else {
    tokens = x = ln_final->forward(x);
    if (config_.pool_type == "first") {
      pooled = x.select(1, 0);
    } else if (config_.pool_type == "last") {
      pooled = x.select(1, -1);
    } else {
      const Tensor score = config_.pool_type == "eos" ? ids.eq(config_.eos_id).to(at::kInt) : ids;
      const Tensor position = score.argmax(-1);                                           // [B], the first one on ties
      pooled = x.gather(1, position.view({-1, 1, 1}).expand({-1, 1, x.size(2)})).squeeze(1);
    }
  }
  if (projection) return {projection->forward(pooled), tokens, pooled};
  return {text_projection.defined() ? at::matmul(pooled, text_projection) : pooled, tokens, pooled};  // [B, E], [B, L, D], [B, D]
}

}  // namespace vlm
