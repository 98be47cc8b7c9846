#include "vlm/models/layers/composition.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <cmath>

#include "vlm/core/error.h"

namespace vlm {

namespace composition {

/// Holds parts under the names that files have for them.
class Holder : public torch::nn::Module {};

/// [B, heads, c, h w].
Tensor split_heads(const Tensor& x, int64_t heads) { return x.reshape({x.size(0), heads, x.size(1) / heads, -1}); }

Tensor over_places(const Tensor& x) { return x.unsqueeze(-1).unsqueeze(-1); }

struct Style {
  Tensor mean, spread;  // [B, C, 1, 1]
};

Style style_of(const Tensor& map, double eps) {
  const Tensor flat = map.flatten(2);
  const Tensor mean = flat.mean(2, true);
  const Tensor variance = (flat - mean).square().mean(2, true);
  return {mean.unsqueeze(-1), (variance + eps).sqrt().unsqueeze(-1)};
}

}  // namespace composition

PointwiseConv::PointwiseConv(int64_t in, int64_t out) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(in));
  weight = register_parameter("weight", at::empty({out, in, 1, 1}));
  init_uniform(weight, bound);
  bias = register_parameter("bias", at::empty({out}));
  init_uniform(bias, bound);
}

Tensor PointwiseConv::forward(const Tensor& x) const { return at::conv2d(x, weight, bias); }

EqualisedLinear::EqualisedLinear(int64_t in, int64_t out) : scale_(std::sqrt(2.0 / static_cast<double>(in))) {
  weight_orig = register_parameter("weight_orig", at::empty({out, in}));
  init_normal(weight_orig, 1.0);
  bias = register_parameter("bias", at::zeros({out}));
}

Tensor EqualisedLinear::forward(const Tensor& x) const { return at::linear(x, weight_orig * scale_, bias); }

ContentBlock::ContentBlock(const CompositionOptions& options) : heads_(options.num_heads) {
  const int64_t channels = options.feature_size;
  const auto self_att = register_module("self_att_generator", std::make_shared<composition::Holder>());
  W_k_ = self_att->register_module("W_k", std::make_shared<ConvNoBias>(channels, channels, 1));
  W_q_ = self_att->register_module("W_q", std::make_shared<ConvNoBias>(channels, channels, 1));
  const auto global_att = register_module("global_att_generator", std::make_shared<composition::Holder>());
  W_t_ = global_att->register_module("W_t", std::make_shared<Linear>(options.text_feature_size, channels));
  merge = register_module("merge", std::make_shared<ConvNoBias>(channels + options.text_feature_size, channels, 1));
  W_v = register_module("W_v", std::make_shared<ConvNoBias>(channels, channels, 1));
  W_r = register_module("W_r", std::make_shared<PointwiseConv>(channels, channels));
}

ContentBlock::Output ContentBlock::forward(const Tensor& x, const Tensor& text) const {
  using composition::split_heads;
  const double scale = 1 / std::sqrt(static_cast<double>(x.size(1) / heads_));
  const Tensor words = composition::over_places(text).expand({-1, -1, x.size(2), x.size(3)});
  const Tensor values = split_heads(W_v->forward(merge->forward(at::cat({x, words}, 1))), heads_);            // [B, heads, c, S]
  const Tensor queries = split_heads(W_q_->forward(x), heads_).transpose(2, 3);                               // [B, heads, S, c]
  const Tensor within = at::softmax(at::matmul(queries, split_heads(W_k_->forward(x), heads_)) * scale, -1);  // [B, heads, S, S]
  const Tensor asked = W_t_->forward(text).reshape({x.size(0), heads_, 1, -1});                               // [B, heads, 1, c]
  const Tensor from_text = at::softmax(at::matmul(asked, split_heads(x, heads_)) * scale, -1);                // [B, heads, 1, S]
  const Tensor attention = within + from_text;
  const Tensor seen = at::matmul(values, attention.transpose(2, 3));                                          // [B, heads, c, S]
  return {W_r->forward(seen.reshape(x.sizes())), attention};
}

Composition::Composition(const CompositionOptions& options) {
  if (options.num_heads < 1 || options.feature_size % options.num_heads) {
    fail("composition: num_heads ", options.num_heads, " does not divide feature_size ", options.feature_size);
  }
  att_module = register_module("att_module", std::make_shared<ContentBlock>(options));
  att_module2 = register_module("att_module2", std::make_shared<ContentBlock>(options));
  weights = register_parameter("weights", at::ones({2}));
  const auto styler = register_module("global_styler", std::make_shared<composition::Holder>());
  const auto layer = [&](const char* name) {
    const auto holder = styler->register_module(name, std::make_shared<composition::Holder>());
    return holder->register_module("linear", std::make_shared<EqualisedLinear>(options.text_feature_size, 2 * options.feature_size));
  };
  gate_ = layer("gate");
  global_transform_ = layer("global_transform");
  // The map begins with its own spread, not with none.
  at::NoGradGuard no_grad;
  global_transform_->bias.narrow(0, 0, options.feature_size).fill_(1);
}

Composition::Output Composition::forward(const Tensor& image, const Tensor& text) const {
  constexpr double eps = 1e-5;
  const auto normalised_by = composition::style_of(image, eps);
  Tensor x = (image - normalised_by.mean) / normalised_by.spread;
  const auto first = att_module->forward(x, text);
  x = x + weights[0] * first.change;
  x = x + weights[1] * att_module2->forward(x, text).change;

  const auto own = composition::style_of(image.detach(), 0);
  const auto gates = at::sigmoid(gate_->forward(text)).chunk(2, 1);   // [B, C] of the spread, of the mean
  const auto given = global_transform_->forward(text).chunk(2, 1);
  const auto mixed = [&](const Tensor& gate, const Tensor& kept, const Tensor& added) {
    return composition::over_places(gate) * kept + composition::over_places(added);
  };
  const Tensor spread = mixed(gates[0], own.spread, given[0]), mean = mixed(gates[1], own.mean, given[1]);
  return {spread * x + mean, first.attention};
}

}  // namespace vlm
