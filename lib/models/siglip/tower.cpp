#include "vlm/models/siglip/tower.h"

#include <ATen/ops/empty.h>

#include <cmath>

#include "vlm/core/error.h"
#include "vlm/models/layers/timm.h"

namespace vlm {

namespace siglip_tower {

Activation activation(const SiglipVisionSizes& sizes) { return sizes.approximate == "tanh" ? Activation::gelu_tanh : Activation::gelu; }

TimmOptions block_options(const SiglipVisionSizes& sizes) {
  return {.width = sizes.width, .mlp_width = sizes.mlp_width, .heads = sizes.heads, .eps = sizes.eps, .activation = activation(sizes)};
}

/// The head: a = attention(probe, tokens), then a + mlp(LN(a)).
class AttentionPool : public torch::nn::Module {
 public:
  explicit AttentionPool(const SiglipVisionSizes& sizes) : heads_(sizes.heads) {
    latent = register_parameter("latent", at::empty({1, 1, sizes.width}));
    init_normal(latent, 1.0 / std::sqrt(static_cast<double>(sizes.width)));
    q = register_module("q", std::make_shared<Linear>(sizes.width, sizes.width));
    kv = register_module("kv", std::make_shared<Linear>(sizes.width, 2 * sizes.width));
    proj = register_module("proj", std::make_shared<Linear>(sizes.width, sizes.width));
    norm = register_module("norm", std::make_shared<LayerNorm>(sizes.width, sizes.eps));
    mlp = register_module("mlp", std::make_shared<TimmMlp>(sizes.width, sizes.mlp_width, activation(sizes)));
  }
  Tensor forward(const Tensor& tokens) const {
    const auto parts = kv->forward(tokens).chunk(2, -1);
    const Tensor query = q->forward(latent).expand({tokens.size(0), -1, -1});
    Tensor x = proj->forward(attend(query, parts[0], parts[1], heads_));  // [B, 1, D]
    x = x + mlp->forward(norm->forward(x));
    return x.select(1, 0);                                                // [B, D]
  }

  Tensor latent;
  std::shared_ptr<Linear> q, kv, proj;
  std::shared_ptr<LayerNorm> norm;
  std::shared_ptr<TimmMlp> mlp;

 private:
  int64_t heads_;
};

}  // namespace siglip_tower

class SiglipVision::Trunk : public torch::nn::Module, public RecomputedBlocks {
 public:
  Trunk(const SiglipVisionSizes& sizes, int64_t positions) {
    patch_embed = register_module("patch_embed", std::make_shared<TimmPatchEmbed>(sizes.width, sizes.patch_size));
    pos_embed = register_parameter("pos_embed", at::empty({1, positions, sizes.width}));
    init_normal(pos_embed, 0.02);
    blocks = register_module("blocks", std::make_shared<LayerList<TimmBlock>>());
    for (int64_t i = 0; i < sizes.layers; ++i) blocks->add(std::make_shared<TimmBlock>(siglip_tower::block_options(sizes)));
    norm = register_module("norm", std::make_shared<LayerNorm>(sizes.width, sizes.eps));
    attn_pool = register_module("attn_pool", std::make_shared<siglip_tower::AttentionPool>(sizes));
    init_transformer(*this);
  }
  VisionOutput forward(const Tensor& image, Trace* trace) const {
    Tensor x = patch_embed->forward(image) + pos_embed;  // [B, N, D]
    if (trace) trace->embeds = x;
    for (const auto& block : blocks->layers()) {
      x = run_block(*block, [block](const std::vector<Tensor>& in) { return block->forward(in[0]); }, {x});
      if (trace) trace->blocks.push_back(x);
    }
    x = norm->forward(x);
    return {attn_pool->forward(x), x};
  }

  std::shared_ptr<TimmPatchEmbed> patch_embed;
  Tensor pos_embed;  ///< [1, N, D]
  std::shared_ptr<LayerList<TimmBlock>> blocks;
  std::shared_ptr<LayerNorm> norm;
  std::shared_ptr<siglip_tower::AttentionPool> attn_pool;
};

SiglipVision::SiglipVision(const SiglipVisionSizes& sizes, int64_t image_height, int64_t image_width) : height_(image_height), width_(image_width) {
  if (image_height < sizes.patch_size || image_width < sizes.patch_size) fail_usage("vision_cfg.image_size is smaller than the patch of ", sizes.patch_size);
  trunk_ = register_module("trunk", std::make_shared<Trunk>(sizes, (image_height / sizes.patch_size) * (image_width / sizes.patch_size)));
}

VisionOutput SiglipVision::forward(const Tensor& image, Trace* trace) const {
  if (image.dim() != 4 || image.size(1) != 3 || image.size(2) != height_ || image.size(3) != width_) {
    fail("the image tower takes pictures [B, 3, ", height_, ", ", width_, "], not ", image.sizes());
  }
  return trunk_->forward(image, trace);
}

}  // namespace vlm
