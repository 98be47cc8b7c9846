#include "vlm/train/gradients.h"

#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <c10/core/GradMode.h>

namespace vlm {

double clip_gradients(const std::vector<NamedTensor>& parameters, double max_norm, double order) {
  at::NoGradGuard no_grad;
  std::vector<Tensor> gradients;
  for (const auto& [name, tensor] : parameters) {
    // The largest absolute value of nothing is not defined, and an empty gradient has no part in a norm.
    if (tensor.grad().defined() && tensor.grad().numel() > 0) gradients.push_back(tensor.grad());
  }
  if (gradients.empty()) return 0;
  std::vector<Tensor> norms = at::_foreach_norm(gradients, order, at::kFloat);
  for (auto& norm : norms) norm = norm.to(norms[0].device());
  const double norm = at::linalg_vector_norm(at::stack(norms), order).item<double>();
  const double factor = max_norm / (norm + 1e-6);
  if (max_norm > 0 && factor < 1) at::_foreach_mul_(gradients, at::Scalar(factor));
  return norm;
}

void clear_gradients(const std::vector<NamedTensor>& parameters) {
  for (const auto& [name, tensor] : parameters) tensor.mutable_grad().reset();
}

}  // namespace vlm
