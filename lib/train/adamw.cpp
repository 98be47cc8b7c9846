#include "vlm/train/adamw.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include "vlm/core/error.h"

namespace vlm {

bool takes_weight_decay(const std::string& name, const Tensor& parameter) {
  if (parameter.dim() < 2) return false;
  for (const char* part : {"bn", "ln", "bias", "logit_scale"}) {
    if (name.find(part) != std::string::npos) return false;
  }
  return true;
}

AdamW::AdamW(std::vector<NamedTensor> parameters, const AdamWOptions& options) : parameters_(std::move(parameters)), options_(options) {
  for (const auto& [name, tensor] : parameters_) {
    exp_avg_.push_back(at::zeros_like(tensor));
    exp_avg_sq_.push_back(at::zeros_like(tensor));
    steps_.push_back(at::zeros({}, tensor.options().dtype(at::kFloat)));
    decays_.push_back(takes_weight_decay(name, tensor));
  }
}

void AdamW::step(double lr) {
  at::NoGradGuard no_grad;
  for (const bool decay : {true, false}) {
    std::vector<Tensor> parameters, gradients, first, second, steps;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      const Tensor& parameter = parameters_[i].tensor;
      if (decays_[i] != decay || !parameter.grad().defined()) continue;
      parameters.push_back(parameter);
      gradients.push_back(parameter.grad());
      first.push_back(exp_avg_[i]);
      second.push_back(exp_avg_sq_[i]);
      steps_[i].add_(1);
      steps.push_back(steps_[i]);
    }
    if (parameters.empty()) continue;
    at::_fused_adamw_(parameters, gradients, first, second, {}, steps, lr, options_.beta1, options_.beta2,
                      decay ? options_.weight_decay : 0.0, options_.eps, /*amsgrad=*/false, /*maximize=*/false);
  }
}

void AdamW::zero_grad() {
  for (auto& [name, tensor] : parameters_) tensor.mutable_grad().reset();
}

TensorMap AdamW::state() const {
  TensorMap out;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    out["exp_avg." + parameters_[i].name] = exp_avg_[i];
    out["exp_avg_sq." + parameters_[i].name] = exp_avg_sq_[i];
    out["step." + parameters_[i].name] = steps_[i];
  }
  return out;
}

void AdamW::load_state(const TensorMap& state) {
  at::NoGradGuard no_grad;
  const auto load = [&](const std::string& name, Tensor& into) {
    const auto it = state.find(name);
    if (it == state.end()) fail("the optimiser's state lacks '", name, "'");
    if (it->second.sizes() != into.sizes()) fail("the optimiser's state '", name, "' has shape ", it->second.sizes(), ", not ", into.sizes());
    into.copy_(it->second);
  };
  for (size_t i = 0; i < parameters_.size(); ++i) {
    load("exp_avg." + parameters_[i].name, exp_avg_[i]);
    load("exp_avg_sq." + parameters_[i].name, exp_avg_sq_[i]);
    load("step." + parameters_[i].name, steps_[i]);
  }
}

double clip_gradients(const std::vector<NamedTensor>& parameters, double max_norm) {
  at::NoGradGuard no_grad;
  std::vector<Tensor> gradients;
  for (const auto& [name, tensor] : parameters) {
    if (tensor.grad().defined()) gradients.push_back(tensor.grad());
  }
  if (gradients.empty()) return 0;
  const double norm = at::linalg_vector_norm(at::stack(at::_foreach_norm(gradients))).item<double>();
  const double factor = max_norm / (norm + 1e-6);
  if (max_norm > 0 && factor < 1) at::_foreach_mul_(gradients, at::Scalar(factor));
  return norm;
}

}  // namespace vlm
