#pragma once
/// Losses that work out their gradients with their value, block by block, and keep no graph of what lies between.

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

namespace vlm {

using at::Tensor;

inline bool wants_gradient(const Tensor& x) { return x.defined() && x.requires_grad() && at::GradMode::is_enabled(); }

/// `value` with the derivative `gradient` with respect to `leaf` (either may be undefined). The added term is exactly zero;
/// the result can be differentiated once.
inline Tensor with_gradient(const Tensor& value, const Tensor& leaf, const Tensor& gradient) {
  if (!wants_gradient(leaf)) return value;
  return value + ((leaf - leaf.detach()) * gradient.to(leaf.scalar_type())).sum();
}

}  // namespace vlm
