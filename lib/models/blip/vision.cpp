#include "vlm/models/blip/vision.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "vlm/core/error.h"
#include "vlm/models/layers/attention.h"

namespace vlm {

namespace blip_vision {

class PatchConv : public torch::nn::Module {
 public:
  PatchConv(int64_t width, int64_t patch) {
    weight = register_parameter("weight", at::empty({width, 3, patch, patch}));
    bias = register_parameter("bias", at::zeros({width}));
    init_normal(weight, 0.02);
  }
  Tensor weight, bias;
};

class Attention : public torch::nn::Module {
 public:
  Attention(int64_t width, int64_t heads) : heads_(heads) {
    if (heads <= 0 || width % heads != 0) fail("attention of width ", width, " cannot be split over ", heads, " heads");
    qkv = register_module("qkv", std::make_shared<Linear>(width, 3 * width));
    projection = register_module("projection", std::make_shared<Linear>(width, width));
  }
  Tensor forward(const Tensor& x) const {
    const auto parts = qkv->forward(x).chunk(3, -1);
    return projection->forward(attend(parts[0], parts[1], parts[2], heads_));
  }
  std::shared_ptr<Linear> qkv, projection;

 private:
  int64_t heads_;
};

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

}  // namespace blip_vision

class BlipVision::Embeddings : public torch::nn::Module {
 public:
  explicit Embeddings(const BlipVisionConfig& config) {
    const int64_t side = config.image_size / config.patch_size;
    class_embedding = register_parameter("class_embedding", at::empty({1, 1, config.width}));
    patch_embedding = register_module("patch_embedding", std::make_shared<blip_vision::PatchConv>(config.width, config.patch_size));
    position_embedding = register_parameter("position_embedding", at::empty({1, side * side + 1, config.width}));
    init_normal(class_embedding, 0.02);
    init_normal(position_embedding, 0.02);
  }
  Tensor class_embedding, position_embedding;  ///< [1, 1, D], [1, N + 1, D]
  std::shared_ptr<blip_vision::PatchConv> patch_embedding;
};

class BlipVision::Layer : public torch::nn::Module {
 public:
  explicit Layer(const BlipVisionConfig& config) {
    layer_norm1 = register_module("layer_norm1", std::make_shared<LayerNorm>(config.width, config.eps));
    self_attn = register_module("self_attn", std::make_shared<blip_vision::Attention>(config.width, config.heads));
    layer_norm2 = register_module("layer_norm2", std::make_shared<LayerNorm>(config.width, config.eps));
    mlp = register_module("mlp", std::make_shared<blip_vision::Mlp>(config.width, config.intermediate, config.activation));
  }
  Tensor forward(Tensor x) const {
    x = x + self_attn->forward(layer_norm1->forward(x));
    return x + mlp->forward(layer_norm2->forward(x));
  }
  std::shared_ptr<LayerNorm> layer_norm1, layer_norm2;
  std::shared_ptr<blip_vision::Attention> self_attn;
  std::shared_ptr<blip_vision::Mlp> mlp;
};

class BlipVision::Encoder : public torch::nn::Module {
 public:
  explicit Encoder(const BlipVisionConfig& config) {
    layers = register_module("layers", std::make_shared<LayerList<Layer>>());
    for (int64_t i = 0; i < config.layers; ++i) layers->add(std::make_shared<Layer>(config));
  }
  std::shared_ptr<LayerList<Layer>> layers;
};

BlipVision::BlipVision(const BlipVisionConfig& config) : config_(config) {
  if (config.patch_size > config.image_size) fail("BLIP's vision_config: patch_size is larger than image_size");
  embeddings_ = register_module("embeddings", std::make_shared<Embeddings>(config));
  encoder_ = register_module("encoder", std::make_shared<Encoder>(config));
  post_layernorm_ = register_module("post_layernorm", std::make_shared<LayerNorm>(config.width, config.eps));
  init_transformer(*this);
}

Tensor BlipVision::forward(const Tensor& pixels) const {
  const int64_t side = config_.image_size, patch = config_.patch_size;
  if (pixels.dim() != 4 || pixels.size(1) != 3 || pixels.size(2) != side || pixels.size(3) != side) {
    fail("the image tower takes pictures [B, 3, ", side, ", ", side, "], not ", pixels.sizes());
  }
  const auto& conv = *embeddings_->patch_embedding;
  Tensor x = at::conv2d(pixels, conv.weight, conv.bias, at::IntArrayRef{patch, patch}).flatten(2).transpose(1, 2);  // [B, N, D]
  x = at::cat({embeddings_->class_embedding.expand({x.size(0), -1, -1}), x}, 1) + embeddings_->position_embedding;  // [B, N + 1, D]
  for (const auto& layer : encoder_->layers->layers()) {
    x = run_block(*layer, [layer](const std::vector<Tensor>& in) { return layer->forward(in[0]); }, {x});
  }
  return post_layernorm_->forward(x);
}

}  // namespace vlm
