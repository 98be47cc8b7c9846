#include "vlm/train/gradients.h"

#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <c10/core/GradMode.h>

namespace vlm {

double joint_norm(const std::vector<Tensor>& tensors, double order) {
  at::NoGradGuard no_grad;
  std::vector<Tensor> filled;  // the largest absolute value of nothing is not defined
  auto type = at::kFloat;
  for (const auto& tensor : tensors) {
    if (tensor.numel() > 0) filled.push_back(tensor);
    if (tensor.scalar_type() == at::kDouble) type = at::kDouble;
  }
  if (filled.empty()) return 0;
  std::vector<Tensor> norms = at::_foreach_norm(filled, order, type);
  for (auto& norm : norms) norm = norm.to(norms[0].device());
  return at::linalg_vector_norm(at::stack(norms), order).item<double>();
}

double clip_gradients(const std::vector<NamedTensor>& parameters, double max_norm, double order) {
  at::NoGradGuard no_grad;
  std::vector<Tensor> gradients;
  for (const auto& [name, tensor] : parameters) {
    if (tensor.grad().defined()) gradients.push_back(tensor.grad());
  }
  const double norm = joint_norm(gradients, order);
  const double factor = max_norm / (norm + 1e-6);
  if (max_norm > 0 && factor < 1) at::_foreach_mul_(gradients, at::Scalar(factor));
  return norm;
}

void clear_gradients(const std::vector<NamedTensor>& parameters) {
  for (const auto& [name, tensor] : parameters) tensor.mutable_grad().reset();
}

}  // namespace vlm
