#include "vlm/models/layers/vit.h"

#include <ATen/ops/_upsample_bicubic2d_aa.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/topk.h>
#include <ATen/ops/upsample_bicubic2d.h>
#include <ATen/ops/upsample_bilinear2d.h>
#include <ATen/ops/upsample_linear1d.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>

#include "vlm/core/error.h"

namespace vlm {

AttentionalPooler::AttentionalPooler(int64_t width, int64_t context_width, int64_t heads, int64_t queries, double eps) {
  query = register_parameter("query", at::empty({queries, width}));
  init_normal(query, 1.0);
  attn = register_module("attn", std::make_shared<MultiheadAttention>(width, heads, context_width));
  ln_q = register_module("ln_q", std::make_shared<LayerNorm>(width, eps));
  ln_k = register_module("ln_k", std::make_shared<LayerNorm>(context_width, eps));
}

Tensor AttentionalPooler::forward(const Tensor& x) const {
  const Tensor q = ln_q->forward(query).unsqueeze(0).expand({x.size(0), -1, -1});  // [B, Q, D]
  return attn->forward_cross(q, ln_k->forward(x));                                 // [B, Q, D]
}

Tensor drop_patches(const Tensor& tokens, const Tensor& keys, double probability) {
  const int64_t patches = keys.size(1);
  const auto keep = std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(patches) * (1.0 - probability)));
  const Tensor chosen = std::get<1>(keys.topk(keep, -1));                                           // [B, keep]
  const Tensor index = chosen.unsqueeze(-1).expand({-1, -1, tokens.size(2)});
  return at::cat({tokens.slice(1, 0, 1), tokens.slice(1, 1).gather(1, index)}, 1);                  // [B, 1 + keep, D]
}

Tensor sin_cos_2d_positions(int64_t height, int64_t width, int64_t dim) {
  if (dim % 4 != 0) fail("sin_cos_2d positions need a width that is a multiple of 4, not ", dim);
  const auto options = at::TensorOptions().dtype(at::kDouble);
  const Tensor omega = at::pow(10000.0, at::arange(dim / 4, options) * (-4.0 / static_cast<double>(dim)));  // [D/4]
  const auto encode = [&](const Tensor& position) {                                                        // [N] -> [N, D/2]
    const Tensor angle = at::outer(position, omega);
    return at::cat({angle.sin(), angle.cos()}, 1);
  };
  const Tensor column = at::arange(width, options).repeat({height});
  const Tensor row = at::arange(height, options).repeat_interleave(width);
  const Tensor grid = at::cat({encode(column), encode(row)}, 1);
  return at::cat({at::zeros({1, dim}, options), grid}, 0).to(at::kFloat);
}

Tensor resize_position_table(const Tensor& table, int64_t height, int64_t width, int64_t prefix_tokens, TableResize how) {
  if (table.size(0) == height * width + prefix_tokens) return table;
  const int64_t old = table.size(0) - prefix_tokens;
  const auto side = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(old))));
  if (side * side != old) fail("a table of ", table.size(0), " positions is no square grid with ", prefix_tokens, " more, so it cannot be resized");
  const Tensor grid = table.slice(0, prefix_tokens).reshape({1, side, side, -1}).permute({0, 3, 1, 2});  // [1, D, side, side]
  const Tensor resized = how == TableResize::bilinear  ? at::upsample_bilinear2d(grid, {height, width}, false)
                         : how == TableResize::bicubic ? at::upsample_bicubic2d(grid, {height, width}, false)
                                                       : at::_upsample_bicubic2d_aa(grid, {height, width}, false);
  const Tensor rows = resized.permute({0, 2, 3, 1}).reshape({height * width, -1});
  return at::cat({table.slice(0, 0, prefix_tokens), rows}, 0);
}

Tensor resize_text_position_table(const Tensor& table, int64_t length) {
  if (table.size(0) == length) return table;
  return at::upsample_linear1d(table.t().unsqueeze(0), {length}, false).squeeze(0).t().contiguous();
}

namespace vit {

/// The convolution that cuts a picture into patches; a module only so that its weight is called conv1.weight.
class PatchConv : public torch::nn::Module {
 public:
  PatchConv(int64_t width, int64_t patch) {
    weight = register_parameter("weight", at::empty({width, 3, patch, patch}));
    init_uniform(weight, 1.0 / std::sqrt(static_cast<double>(3 * patch * patch)));
  }
  Tensor weight;
};

}  // namespace vit

VisionTransformer::VisionTransformer(const VisionConfig& config, int64_t embed_dim) : config_(config) {
  const int64_t width = config.width, patch = config.patch_size;
  if (config.image_size.empty() || config.image_size.size() > 2) fail("vision_cfg.image_size must be one number or [height, width]");
  if (patch <= 0 || config.image_height() < patch || config.image_width() < patch) fail("vision_cfg.patch_size does not fit image_size");
  const int64_t rows = config.image_height() / patch, columns = config.image_width() / patch;
  const double eps = config.norm_kwargs.eps, scale = 1.0 / std::sqrt(static_cast<double>(width));
  const auto conv = std::make_shared<vit::PatchConv>(width, patch);
  conv1 = register_module("conv1", conv);
  patch_weight_ = conv->weight;
  class_embedding = register_parameter("class_embedding", at::empty({width}));
  init_normal(class_embedding, scale);
  if (config.pos_embed_type == "learnable") {
    positional_embedding = register_parameter("positional_embedding", at::empty({rows * columns + 1, width}));
    init_normal(positional_embedding, scale);
  } else if (config.pos_embed_type == "sin_cos_2d") {
    positional_embedding = register_parameter("positional_embedding", sin_cos_2d_positions(rows, columns, width), /*requires_grad=*/false);
  } else {
    fail_usage("vision_cfg.pos_embed_type must be learnable or sin_cos_2d, not '", config.pos_embed_type, "'");
  }
  if (config.pool_type != "tok" && config.pool_type != "avg" && config.pool_type != "ggem") {
    fail_usage("vision_cfg.pool_type must be tok, avg or ggem, not '", config.pool_type, "'");
  }
  if (!config.no_ln_pre) ln_pre = register_module("ln_pre", std::make_shared<LayerNorm>(width, eps));
  transformer = register_module("transformer", std::make_shared<Transformer>(width, config.depth(), width / config.head_width, config));
  int64_t pooled = width;
  const std::string& pooler = config.attentional_pool;
  if (pooler == "true" || pooler == "parallel" || pooler == "cascade") {
    pooled = embed_dim;
    attn_pool = register_module("attn_pool", std::make_shared<AttentionalPooler>(embed_dim, width, config.attn_pooler_heads, config.attn_pooler_queries, eps));
    if (pooler != "true") {
      const int64_t context = pooler == "parallel" ? width : embed_dim;
      attn_pool_contrastive = register_module("attn_pool_contrastive", std::make_shared<AttentionalPooler>(embed_dim, context, config.attn_pooler_heads, 1, eps));
    }
  } else if (pooler != "false") {
    fail_usage("vision_cfg.attentional_pool must be false, true, parallel or cascade, not '", pooler, "'");
  }
  if (config.pool_type == "ggem") {
    const int64_t groups = config.ggem_groups > 0 ? config.ggem_groups : width / config.head_width;
    ggem = register_module("ggem", std::make_shared<GGeM>(pooled, groups, config.ggem_p_init, config.ggem_eps));
  }
  ln_post = register_module("ln_post", std::make_shared<LayerNorm>(pooled, eps));
  if (embed_dim > 0) {
    proj = register_parameter("proj", at::empty({pooled, embed_dim}));
    init_normal(proj, scale);
  }
}

Tensor VisionTransformer::states(const Tensor& image, Trace* trace) const {
  const int64_t patch = config_.patch_size;
  const bool fits = image.dim() == 4 && image.size(1) == 3 && image.size(2) >= patch && image.size(3) >= patch &&
                    (image.size(2) / patch) * (image.size(3) / patch) < positional_embedding.size(0);
  if (!fits) fail("the image tower takes pictures [B, 3, ", config_.image_height(), ", ", config_.image_width(), "] or smaller ones, not ", image.sizes());
  Tensor x = at::conv2d(image, patch_weight_, {}, at::IntArrayRef{patch, patch}).flatten(2).transpose(1, 2);  // [B, N, D]
  const Tensor token = class_embedding.to(x.scalar_type()).expand({x.size(0), 1, -1});
  x = at::cat({token, x}, 1);
  x = x + positional_embedding.slice(0, 0, x.size(1)).to(x.scalar_type());                 // [B, N + 1, D]
  if (is_training() && config_.patch_dropout > 0) {
    x = drop_patches(x, at::randn({x.size(0), x.size(1) - 1}, x.options()), config_.patch_dropout);
  }
  if (ln_pre) x = ln_pre->forward(x);
  if (trace) trace->embeds = x;
  return transformer->forward(x, {}, false, trace ? &trace->blocks : nullptr);
}

VisionOutput VisionTransformer::forward(const Tensor& image, Trace* trace) const {
  if (image.dim() != 4 || image.size(1) != 3 || image.size(2) != config_.image_height() || image.size(3) != config_.image_width()) {
    fail("the image tower takes pictures [B, 3, ", config_.image_height(), ", ", config_.image_width(), "], not ", image.sizes());
  }
  Tensor x = states(image, trace);

  const auto pool = [&](const Tensor& states) {
    if (ggem) return ggem->forward(states.slice(1, 1));
    return config_.pool_type == "avg" ? states.slice(1, 1).mean(1) : states.select(1, 0);
  };
  Tensor pooled, tokens;
  if (attn_pool_contrastive) {
    x = ln_post->forward(x);
    tokens = attn_pool->forward(x);                                                         // [B, Q, E]
    pooled = attn_pool_contrastive->forward(config_.attentional_pool == "parallel" ? x : tokens);
  } else if (attn_pool) {
    x = ln_post->forward(attn_pool->forward(x));                                            // [B, Q, E]
    pooled = pool(x);
    tokens = x.slice(1, 1);
  } else if (config_.final_ln_after_pool) {
    pooled = ln_post->forward(pool(x));
    tokens = x.slice(1, 1);
  } else {
    x = ln_post->forward(x);
    pooled = pool(x);
    tokens = x.slice(1, 1);
  }
  const Tensor features = at::matmul(pooled, proj);
  return {features, tokens, attn_pool_contrastive ? Tensor() : pooled};                     // [B, E], [B, N, D], [B, D]
}

}  // namespace vlm
