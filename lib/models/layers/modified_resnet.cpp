#include "vlm/models/layers/modified_resnet.h"

#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "vlm/core/error.h"
#include "vlm/models/layers/attention.h"

namespace vlm {

BatchNorm2d::BatchNorm2d(int64_t channels) {
  weight = register_parameter("weight", at::ones({channels}));
  bias = register_parameter("bias", at::zeros({channels}));
  running_mean = register_buffer("running_mean", at::zeros({channels}));
  running_var = register_buffer("running_var", at::ones({channels}));
  num_batches_tracked = register_buffer("num_batches_tracked", at::zeros({}, at::kLong));
}

Tensor BatchNorm2d::forward(const Tensor& x) const {
  if (is_training()) Tensor(num_batches_tracked).add_(1);
  return at::batch_norm(x, weight, bias, running_mean, running_var, is_training(), 0.1, 1e-5, false);
}

ConvNoBias::ConvNoBias(int64_t in, int64_t out, int64_t kernel, int64_t stride) : stride_(stride), padding_(kernel / 2) {
  weight = register_parameter("weight", at::empty({out, in, kernel, kernel}));
  init_uniform(weight, 1.0 / std::sqrt(static_cast<double>(in * kernel * kernel)));
}

Tensor ConvNoBias::forward(const Tensor& x) const {
  return at::conv2d(x, weight, {}, at::IntArrayRef{stride_, stride_}, at::IntArrayRef{padding_, padding_});
}

namespace modified_resnet {

/// Holds what files call downsample.0 and downsample.1.
class Downsample : public torch::nn::Module {
 public:
  Downsample(int64_t in, int64_t out) {
    conv = register_module("0", std::make_shared<ConvNoBias>(in, out, 1));
    bn = register_module("1", std::make_shared<BatchNorm2d>(out));
  }
  std::shared_ptr<ConvNoBias> conv;
  std::shared_ptr<BatchNorm2d> bn;
};

Tensor shrink(const Tensor& x, int64_t stride) {
  return stride > 1 ? at::avg_pool2d(x, at::IntArrayRef{stride, stride}) : x;
}

}  // namespace modified_resnet

Bottleneck::Bottleneck(int64_t in, int64_t planes, int64_t stride) : stride_(stride) {
  conv1 = register_module("conv1", std::make_shared<ConvNoBias>(in, planes, 1));
  bn1 = register_module("bn1", std::make_shared<BatchNorm2d>(planes));
  conv2 = register_module("conv2", std::make_shared<ConvNoBias>(planes, planes, 3));
  bn2 = register_module("bn2", std::make_shared<BatchNorm2d>(planes));
  conv3 = register_module("conv3", std::make_shared<ConvNoBias>(planes, planes * expansion, 1));
  bn3 = register_module("bn3", std::make_shared<BatchNorm2d>(planes * expansion));
  {
    at::NoGradGuard no_grad;
    bn3->weight.zero_();
  }
  if (stride > 1 || in != planes * expansion) {
    const auto path = register_module("downsample", std::make_shared<modified_resnet::Downsample>(in, planes * expansion));
    downsample_conv = path->conv;
    downsample_bn = path->bn;
  }
}

Tensor Bottleneck::forward(const Tensor& x) const {
  Tensor y = at::relu(bn1->forward(conv1->forward(x)));
  y = at::relu(bn2->forward(conv2->forward(y)));
  y = bn3->forward(conv3->forward(modified_resnet::shrink(y, stride_)));
  const Tensor identity = downsample_conv ? downsample_bn->forward(downsample_conv->forward(modified_resnet::shrink(x, stride_))) : x;
  return at::relu(y + identity);  // [B, 4 planes, H / stride, W / stride]
}

AttentionPool2d::AttentionPool2d(int64_t side, int64_t width, int64_t heads, int64_t embed_dim) : heads_(heads) {
  if (heads <= 0 || width % heads != 0) fail("attention pooling of width ", width, " cannot be split over ", heads, " heads");
  const double std = 1.0 / std::sqrt(static_cast<double>(width));
  positional_embedding = register_parameter("positional_embedding", at::empty({side * side + 1, width}));
  init_normal(positional_embedding, std);
  k_proj = register_module("k_proj", std::make_shared<Linear>(width, width));
  q_proj = register_module("q_proj", std::make_shared<Linear>(width, width));
  v_proj = register_module("v_proj", std::make_shared<Linear>(width, width));
  c_proj = register_module("c_proj", std::make_shared<Linear>(width, embed_dim));
  for (const auto& linear : {q_proj, k_proj, v_proj, c_proj}) init_normal(linear->weight, std);
}

std::pair<Tensor, Tensor> AttentionPool2d::forward(const Tensor& x) const {
  const Tensor positions = x.flatten(2).transpose(1, 2);                                       // [B, HW, C]
  const Tensor tokens = at::cat({positions.mean(1, true), positions}, 1) + positional_embedding;  // [B, HW + 1, C]
  const Tensor query = q_proj->forward(tokens.slice(1, 0, 1));
  const Tensor found = attend(query, k_proj->forward(tokens), v_proj->forward(tokens), heads_);    // [B, 1, C]
  return {found.squeeze(1), c_proj->forward(found).squeeze(1)};                                   // [B, C], [B, E]
}

ModifiedResNet::ModifiedResNet(const VisionConfig& config, int64_t embed_dim) : height_(config.image_height()), width_(config.image_width()) {
  const int64_t width = config.width;
  if (height_ != width_ || height_ % 32 != 0) fail_usage("vision_cfg.image_size of a ResNet must be a square with a multiple of 32 as its side");
  if (width < 2 || width % 2 != 0) fail_usage("vision_cfg.width of a ResNet must be even, not ", width);
  conv1 = register_module("conv1", std::make_shared<ConvNoBias>(3, width / 2, 3, 2));
  bn1 = register_module("bn1", std::make_shared<BatchNorm2d>(width / 2));
  conv2 = register_module("conv2", std::make_shared<ConvNoBias>(width / 2, width / 2, 3));
  bn2 = register_module("bn2", std::make_shared<BatchNorm2d>(width / 2));
  conv3 = register_module("conv3", std::make_shared<ConvNoBias>(width / 2, width, 3));
  bn3 = register_module("bn3", std::make_shared<BatchNorm2d>(width));
  int64_t in = width;
  for (size_t stage = 0; stage < 4; ++stage) {
    const int64_t planes = width << stage;
    auto blocks = std::make_shared<LayerList<Bottleneck>>();
    for (int64_t i = 0; i < config.layers[stage]; ++i) {
      blocks->add(std::make_shared<Bottleneck>(in, planes, i == 0 && stage > 0 ? 2 : 1));
      in = planes * Bottleneck::expansion;
    }
    stages.push_back(register_module("layer" + std::to_string(stage + 1), blocks));
  }
  attnpool = register_module("attnpool", std::make_shared<AttentionPool2d>(height_ / 32, 32 * width, 32 * width / config.head_width, embed_dim));
}

VisionOutput ModifiedResNet::forward(const Tensor& image, Trace* trace) const {
  if (image.dim() != 4 || image.size(1) != 3 || image.size(2) != height_ || image.size(3) != width_) {
    fail("the image tower takes pictures [B, 3, ", height_, ", ", width_, "], not ", image.sizes());
  }
  Tensor x = at::relu(bn1->forward(conv1->forward(image)));
  x = at::relu(bn2->forward(conv2->forward(x)));
  x = modified_resnet::shrink(at::relu(bn3->forward(conv3->forward(x))), 2);  // [B, w, H / 4, W / 4]
  if (trace) trace->embeds = x;
  for (const auto& stage : stages) {
    for (const auto& block : stage->layers()) x = block->forward(x);
    if (trace) trace->blocks.push_back(x);
  }
  const auto [pooled, features] = attnpool->forward(x);                       // x: [B, 32 w, H / 32, W / 32]
  return {features, {}, pooled};
}

}  // namespace vlm
