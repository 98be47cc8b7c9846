#include "vlm/models/ofa/resnet.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <array>
#include <cmath>

namespace vlm {

Tensor drop_path(const Tensor& x, double rate, bool training) {
  if (rate <= 0 || !training) return x;
  std::vector<int64_t> shape(static_cast<size_t>(x.dim()), 1);
  shape[0] = x.size(0);
  const Tensor keep = at::empty(shape, x.options()).bernoulli_(1 - rate);
  return x * (keep / (1 - rate));
}

TrunkNorm::TrunkNorm(int64_t channels, TrunkNormKind kind) : kind_(kind), eps_(kind == TrunkNormKind::synced ? 1e-3 : 1e-5) {
  const bool frozen = kind == TrunkNormKind::frozen;
  const auto add = [&](const char* name, const Tensor& value) { return frozen ? register_buffer(name, value) : register_parameter(name, value); };
  weight = add("weight", at::ones({channels}));
  bias = add("bias", at::zeros({channels}));
  running_mean = register_buffer("running_mean", at::zeros({channels}));
  running_var = register_buffer("running_var", at::ones({channels}));
  if (!frozen) num_batches_tracked = register_buffer("num_batches_tracked", at::zeros({}, at::kLong));
}

Tensor TrunkNorm::forward(const Tensor& x) const {
  if (kind_ == TrunkNormKind::frozen) {
    const auto [scale, shift] = scale_and_shift();
    return x * scale.view({1, -1, 1, 1}) + shift.view({1, -1, 1, 1});
  }
  if (is_training()) Tensor(num_batches_tracked).add_(1);
  return at::batch_norm(x, weight, bias, running_mean, running_var, is_training(), 0.1, eps_, false);
}

std::pair<Tensor, Tensor> TrunkNorm::scale_and_shift() const {
  const Tensor scale = weight * (running_var + eps_).rsqrt();
  return {scale, bias - running_mean * scale};
}

TrunkConv::TrunkConv(int64_t in, int64_t out, int64_t kernel, int64_t stride) : stride_(stride), padding_(kernel / 2) {
  weight = register_parameter("weight", at::empty({out, in, kernel, kernel}));
  init_normal(weight, std::sqrt(2.0 / static_cast<double>(out * kernel * kernel)));  // Kaiming, fan out
}

Tensor TrunkConv::forward(const Tensor& x, const TrunkNorm& norm, bool relu, const Tensor& residual) const {
  const std::array<int64_t, 2> stride{stride_, stride_}, padding{padding_, padding_};
  Tensor y;
  if (norm.fixed() && !at::GradMode::is_enabled()) {
    // Passes over the pictures' maps cost more than scaling the weights does.
    const auto [scale, shift] = norm.scale_and_shift();
    y = at::conv2d(x, weight * scale.view({-1, 1, 1, 1}), shift, stride, padding);
    if (residual.defined()) y.add_(residual);
    return relu ? y.relu_() : y;
  }
  y = norm.forward(at::conv2d(x, weight, {}, stride, padding));
  if (residual.defined()) y = y + residual;
  return relu ? at::relu(y) : y;
}

namespace ofa_trunk {

/// Holds what files call downsample.0 and downsample.1.
class Downsample : public torch::nn::Module {
 public:
  Downsample(int64_t in, int64_t out, int64_t stride, TrunkNormKind norm) {
    conv = register_module("0", std::make_shared<TrunkConv>(in, out, 1, stride));
    bn = register_module("1", std::make_shared<TrunkNorm>(out, norm));
  }
  std::shared_ptr<TrunkConv> conv;
  std::shared_ptr<TrunkNorm> bn;
};

}  // namespace ofa_trunk

TrunkBlock::TrunkBlock(int64_t in, int64_t planes, int64_t stride, bool projected, TrunkNormKind norm, double drop_path) : drop_path_(drop_path) {
  const int64_t out = planes * expansion;
  conv1 = register_module("conv1", std::make_shared<TrunkConv>(in, planes, 1));
  bn1 = register_module("bn1", std::make_shared<TrunkNorm>(planes, norm));
  conv2 = register_module("conv2", std::make_shared<TrunkConv>(planes, planes, 3, stride));
  bn2 = register_module("bn2", std::make_shared<TrunkNorm>(planes, norm));
  conv3 = register_module("conv3", std::make_shared<TrunkConv>(planes, out, 1));
  bn3 = register_module("bn3", std::make_shared<TrunkNorm>(out, norm));
  if (!projected) return;
  const auto down = std::make_shared<ofa_trunk::Downsample>(in, out, stride, norm);
  register_module("downsample", down);
  downsample_conv = down->conv;
  downsample_bn = down->bn;
}

Tensor TrunkBlock::forward(const Tensor& x) const {
  const Tensor identity = downsample_conv ? downsample_conv->forward(x, *downsample_bn, false) : x;
  Tensor y = conv1->forward(x, *bn1, true);
  y = conv2->forward(y, *bn2, true);
  if (drop_path_ <= 0 || !is_training()) return conv3->forward(y, *bn3, true, identity);
  return at::relu(identity + drop_path(conv3->forward(y, *bn3, false), drop_path_, true));
}

OfaTrunk::OfaTrunk(const TrunkOptions& options) {
  const int64_t width = options.stem_width;
  conv1 = register_module("conv1", std::make_shared<TrunkConv>(3, width, 7, 2));
  bn1 = register_module("bn1", std::make_shared<TrunkNorm>(width, options.norm));
  int64_t in = width;
  for (size_t stage = 0; stage < options.blocks.size(); ++stage) {
    const int64_t planes = width << stage, blocks = options.blocks[stage];
    auto list = std::make_shared<LayerList<TrunkBlock>>();
    for (int64_t i = 0; i < blocks; ++i) {
      const int64_t stride = stage > 0 && i == 0 ? 2 : 1;
      const double rate = blocks > 1 ? options.drop_path * static_cast<double>(i) / static_cast<double>(blocks - 1) : 0;
      list->add(std::make_shared<TrunkBlock>(in, planes, stride, i == 0 && (stride > 1 || in != planes * TrunkBlock::expansion), options.norm, rate));
      in = planes * TrunkBlock::expansion;
    }
    stages.push_back(register_module("layer" + std::to_string(stage + 1), list));
  }
  channels_ = in;
}

Tensor OfaTrunk::forward(const Tensor& pixels) const {
  // oneDNN reads and writes channels-last maps as they are, and 1 x 1 convolutions become plain matrix products.
  Tensor x = conv1->forward(pixels.contiguous(at::MemoryFormat::ChannelsLast), *bn1, true);
  x = at::max_pool2d(x, at::IntArrayRef{3, 3}, at::IntArrayRef{2, 2}, at::IntArrayRef{1, 1});
  for (const auto& stage : stages) {
    for (const auto& block : stage->layers()) x = block->forward(x);
  }
  return x;
}

}  // namespace vlm
