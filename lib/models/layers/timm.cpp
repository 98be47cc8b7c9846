#include "vlm/models/layers/timm.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>

#include <cmath>

#include "vlm/core/error.h"
#include "vlm/models/layers/vit.h"

namespace vlm {

TimmMlp::TimmMlp(int64_t width, int64_t hidden, Activation activation) : activation_(activation) {
  fc1 = register_module("fc1", std::make_shared<Linear>(width, hidden));
  fc2 = register_module("fc2", std::make_shared<Linear>(hidden, width));
}

TimmAttention::TimmAttention(int64_t width, int64_t heads) : heads_(heads) {
  if (heads <= 0 || width % heads != 0) fail("attention of width ", width, " cannot be split over ", heads, " heads");
  qkv = register_module("qkv", std::make_shared<Linear>(width, 3 * width));
  proj = register_module("proj", std::make_shared<Linear>(width, width));
}

Tensor TimmAttention::forward(const Tensor& x, Tensor* probabilities) const {
  const auto parts = qkv->forward(x).chunk(3, -1);
  return proj->forward(attend(parts[0], parts[1], parts[2], heads_, {}, {.probabilities = probabilities}));
}

TimmBlock::TimmBlock(const TimmOptions& options) {
  norm1 = register_module("norm1", std::make_shared<LayerNorm>(options.width, options.eps));
  attn = register_module("attn", std::make_shared<TimmAttention>(options.width, options.heads));
  norm2 = register_module("norm2", std::make_shared<LayerNorm>(options.width, options.eps));
  mlp = register_module("mlp", std::make_shared<TimmMlp>(options.width, options.mlp_width, options.activation));
}

Tensor TimmBlock::forward(Tensor x, Tensor* probabilities) const {
  x = x + attn->forward(norm1->forward(x), probabilities);
  return x + mlp->forward(norm2->forward(x));  // [B, N, D]
}

class TimmPatchEmbed::Convolution : public torch::nn::Module {
 public:
  Convolution(int64_t width, int64_t patch) {
    const double bound = 1.0 / std::sqrt(static_cast<double>(3 * patch * patch));
    weight = register_parameter("weight", at::empty({width, 3, patch, patch}));
    bias = register_parameter("bias", at::empty({width}));
    init_uniform(weight, bound);
    init_uniform(bias, bound);
  }
  Tensor weight, bias;
};

TimmPatchEmbed::TimmPatchEmbed(int64_t width, int64_t patch) : patch_(patch) {
  proj_ = register_module("proj", std::make_shared<Convolution>(width, patch));
}

Tensor TimmPatchEmbed::forward(const Tensor& image) const {
  return at::conv2d(image, proj_->weight, proj_->bias, at::IntArrayRef{patch_, patch_}).flatten(2).transpose(1, 2);
}

TimmVision::TimmVision(const TimmOptions& options) {
  const int64_t rows = options.image_height / options.patch_size, columns = options.image_width / options.patch_size;
  if (rows < 1 || columns < 1) fail("pictures of ", options.image_height, " x ", options.image_width, " are smaller than the patch of ", options.patch_size);
  cls_token = register_parameter("cls_token", at::empty({1, 1, options.width}));
  pos_embed = register_parameter("pos_embed", at::empty({1, rows * columns + 1, options.width}));
  init_normal(cls_token, 0.02);
  init_normal(pos_embed, 0.02);
  patch_embed = register_module("patch_embed", std::make_shared<TimmPatchEmbed>(options.width, options.patch_size));
  blocks = register_module("blocks", std::make_shared<LayerList<TimmBlock>>());
  for (int64_t i = 0; i < options.layers; ++i) blocks->add(std::make_shared<TimmBlock>(options));
  norm = register_module("norm", std::make_shared<LayerNorm>(options.width, options.eps));
  init_transformer(*this, options.init_std);
}

Tensor TimmVision::forward(const Tensor& image, AttentionTrace* trace) const {
  if (image.dim() != 4 || image.size(1) != 3) fail("the image tower takes pictures [B, 3, H, W], not ", image.sizes());
  Tensor x = patch_embed->forward(image);
  if (x.size(1) >= pos_embed.size(1)) {
    fail("pictures of ", image.size(2), " x ", image.size(3), " have ", x.size(1), " patches, but the image tower knows ", pos_embed.size(1) - 1, " positions");
  }
  x = at::cat({cls_token.expand({x.size(0), -1, -1}), x}, 1);
  x = x + pos_embed.slice(1, 0, x.size(1));                                                // [B, 1 + N, D]
  int64_t number = 0;
  for (const auto& block : blocks->layers()) {
    if (trace && trace->layer == number++) {
      x = block->forward(x, &trace->probabilities);
    } else {
      x = run_block(*block, [block](const std::vector<Tensor>& in) { return block->forward(in[0]); }, {x});
    }
  }
  return norm->forward(x);
}

Tensor resize_timm_positions(const Tensor& pos_embed, int64_t new_side) {
  if (pos_embed.dim() != 3 || pos_embed.size(0) != 1) fail("a table of positions is [1, 1 + N, D], not ", pos_embed.sizes());
  return resize_position_table(pos_embed[0], new_side, new_side, 1, /*antialias=*/false).unsqueeze(0);
}

}  // namespace vlm
