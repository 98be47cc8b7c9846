#include "vlm/models/layers/basic.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/clamp_min.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <cmath>

#include "vlm/models/layers/fast_linear.h"

namespace vlm {

namespace init_stream {
at::Generator& generator() {
  static at::Generator stream = at::detail::createCPUGenerator(0);
  return stream;
}
thread_local int skipped = 0;
}  // namespace init_stream

SkipInitialisation::SkipInitialisation() { ++init_stream::skipped; }
SkipInitialisation::~SkipInitialisation() { --init_stream::skipped; }

void seed_initialisation(uint64_t seed) { init_stream::generator().set_current_seed(seed); }

void init_normal(Tensor& tensor, double std) {
  if (init_stream::skipped > 0) return;
  at::NoGradGuard no_grad;
  tensor.normal_(0, std, init_stream::generator());
}

void init_uniform(Tensor& tensor, double bound) {
  if (init_stream::skipped > 0) return;
  at::NoGradGuard no_grad;
  tensor.uniform_(-bound, bound, init_stream::generator());
}

void init_transformer(torch::nn::Module& module, double std) {
  if (init_stream::skipped > 0) return;
  at::NoGradGuard no_grad;
  for (const auto& part : module.modules(/*include_self=*/false)) {
    if (auto* linear = dynamic_cast<Linear*>(part.get())) {
      init_normal(linear->weight, std);
      if (linear->bias.defined()) linear->bias.zero_();
    }
    if (auto* table = dynamic_cast<Embedding*>(part.get())) init_normal(table->weight, std);
  }
}

Linear::Linear(int64_t in, int64_t out, bool with_bias) {
  weight = register_parameter("weight", at::empty({out, in}));
  const double bound = 1.0 / std::sqrt(static_cast<double>(in));
  init_uniform(weight, bound);
  if (with_bias) {
    bias = register_parameter("bias", at::empty({out}));
    init_uniform(bias, bound);
  }
}

Tensor Linear::forward(const Tensor& x) const { return fast_linear(x, weight, bias, packed); }

LayerNorm::LayerNorm(int64_t width, double eps) : eps_(eps) {
  weight = register_parameter("weight", at::ones({width}));
  bias = register_parameter("bias", at::zeros({width}));
}

Tensor LayerNorm::forward(const Tensor& x) const {
  if (x.scalar_type() == weight.scalar_type()) return at::layer_norm(x, weight.sizes(), weight, bias, eps_);
  return at::layer_norm(x.to(weight.scalar_type()), weight.sizes(), weight, bias, eps_).to(x.scalar_type());
}

LayerScale::LayerScale(int64_t width, double init) { gamma = register_parameter("gamma", at::full({width}, init)); }

Tensor LayerScale::forward(const Tensor& x) const { return x * gamma; }

Embedding::Embedding(int64_t rows, int64_t width, int64_t padding) : padding_(padding) {
  weight = register_parameter("weight", at::empty({rows, width}));
  init_normal(weight, 1.0);
}

Tensor Embedding::forward(const Tensor& ids) const { return at::embedding(weight, ids, padding_); }

Tensor activate(const Tensor& x, Activation activation) {
  switch (activation) {
    case Activation::gelu_tanh: return at::gelu(x, "tanh");
    case Activation::quick_gelu: return x * at::sigmoid(x * 1.702);
    case Activation::gelu: break;
  }
  return at::gelu(x);
}

Tensor normalize(const Tensor& x) { return x / at::linalg_vector_norm(x, 2, at::IntArrayRef{-1}, true).clamp_min(1e-12); }

std::vector<NamedTensor> module_parameters(const torch::nn::Module& module) {
  std::vector<NamedTensor> out;
  for (const auto& entry : module.named_parameters()) out.push_back({entry.key(), entry.value()});
  return out;
}

std::vector<NamedTensor> module_state(const torch::nn::Module& module) {
  auto out = module_parameters(module);
  for (const auto& entry : module.named_buffers()) out.push_back({entry.key(), entry.value()});
  return out;
}

}  // namespace vlm
