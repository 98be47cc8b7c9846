#include "vlm/models/siglip/tower.h"

#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>

#include <cmath>

#include "vlm/core/error.h"
#include "vlm/models/layers/attention.h"
#include "vlm/models/layers/recompute.h"

namespace vlm {

namespace siglip_tower {

Activation activation(const SiglipVisionSizes& sizes) { return sizes.approximate == "tanh" ? Activation::gelu_tanh : Activation::gelu; }

class Mlp : public torch::nn::Module {
 public:
  Mlp(int64_t width, int64_t hidden, Activation activation) : activation_(activation) {
    fc1 = register_module("fc1", std::make_shared<Linear>(width, hidden));
    fc2 = register_module("fc2", std::make_shared<Linear>(hidden, width));
  }
  Tensor forward(const Tensor& x) const { return fc2->forward(activate(fc1->forward(x), activation_)); }

  std::shared_ptr<Linear> fc1, fc2;

 private:
  Activation activation_;
};

class Attention : public torch::nn::Module {
 public:
  Attention(int64_t width, int64_t heads) : heads_(heads) {
    qkv = register_module("qkv", std::make_shared<Linear>(width, 3 * width));
    proj = register_module("proj", std::make_shared<Linear>(width, width));
  }
  Tensor forward(const Tensor& x) const {
    const auto parts = qkv->forward(x).chunk(3, -1);
    return proj->forward(attend(parts[0], parts[1], parts[2], heads_));
  }

  std::shared_ptr<Linear> qkv, proj;

 private:
  int64_t heads_;
};

class Block : public torch::nn::Module {
 public:
  explicit Block(const SiglipVisionSizes& sizes) {
    norm1 = register_module("norm1", std::make_shared<LayerNorm>(sizes.width, sizes.eps));
    attn = register_module("attn", std::make_shared<Attention>(sizes.width, sizes.heads));
    norm2 = register_module("norm2", std::make_shared<LayerNorm>(sizes.width, sizes.eps));
    mlp = register_module("mlp", std::make_shared<Mlp>(sizes.width, sizes.mlp_width, activation(sizes)));
  }
  Tensor forward(Tensor x) const {
    x = x + attn->forward(norm1->forward(x));
    return x + mlp->forward(norm2->forward(x));
  }

  std::shared_ptr<LayerNorm> norm1, norm2;
  std::shared_ptr<Attention> attn;
  std::shared_ptr<Mlp> mlp;
};

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
    mlp = register_module("mlp", std::make_shared<Mlp>(sizes.width, sizes.mlp_width, activation(sizes)));
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
  std::shared_ptr<Mlp> mlp;

 private:
  int64_t heads_;
};

class PatchEmbed : public torch::nn::Module {
 public:
  PatchEmbed(int64_t width, int64_t patch) {
    proj = register_module("proj", std::make_shared<Conv>(width, patch));
  }
  struct Conv : torch::nn::Module {
    Conv(int64_t width, int64_t patch) {
      const double bound = 1.0 / std::sqrt(static_cast<double>(3 * patch * patch));
      weight = register_parameter("weight", at::empty({width, 3, patch, patch}));
      bias = register_parameter("bias", at::empty({width}));
      init_uniform(weight, bound);
      init_uniform(bias, bound);
    }
    Tensor weight, bias;
  };
  std::shared_ptr<Conv> proj;
};

}  // namespace siglip_tower

class SiglipVision::Trunk : public torch::nn::Module, public RecomputedBlocks {
 public:
  Trunk(const SiglipVisionSizes& sizes, int64_t positions) : patch_(sizes.patch_size) {
    patch_embed = register_module("patch_embed", std::make_shared<siglip_tower::PatchEmbed>(sizes.width, patch_));
    pos_embed = register_parameter("pos_embed", at::empty({1, positions, sizes.width}));
    init_normal(pos_embed, 0.02);
    blocks = register_module("blocks", std::make_shared<LayerList<siglip_tower::Block>>());
    for (int64_t i = 0; i < sizes.layers; ++i) blocks->add(std::make_shared<siglip_tower::Block>(sizes));
    norm = register_module("norm", std::make_shared<LayerNorm>(sizes.width, sizes.eps));
    attn_pool = register_module("attn_pool", std::make_shared<siglip_tower::AttentionPool>(sizes));
    init_transformer(*this);
  }
  VisionOutput forward(const Tensor& image, Trace* trace) const {
    const auto& conv = *patch_embed->proj;
    Tensor x = at::conv2d(image, conv.weight, conv.bias, at::IntArrayRef{patch_, patch_}).flatten(2).transpose(1, 2);  // [B, N, D]
    x = x + pos_embed;
    if (trace) trace->embeds = x;
    for (const auto& block : blocks->layers()) {
      x = run_block(*block, [block](const std::vector<Tensor>& in) { return block->forward(in[0]); }, {x});
      if (trace) trace->blocks.push_back(x);
    }
    x = norm->forward(x);
    return {attn_pool->forward(x), x};
  }

  std::shared_ptr<siglip_tower::PatchEmbed> patch_embed;
  Tensor pos_embed;  ///< [1, N, D]
  std::shared_ptr<LayerList<siglip_tower::Block>> blocks;
  std::shared_ptr<LayerNorm> norm;
  std::shared_ptr<siglip_tower::AttentionPool> attn_pool;

 private:
  int64_t patch_;
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
