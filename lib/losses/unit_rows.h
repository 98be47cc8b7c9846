#pragma once
/// Rows of unit length, as all contrast wants them.

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/linalg_vector_norm.h>

namespace vlm {

/// x / max(|x|, 1e-12) over the last axis, with gradient.
inline at::Tensor unit_rows(const at::Tensor& x) { return x / at::linalg_vector_norm(x, 2, -1, /*keepdim=*/true).clamp_min(1e-12); }

}  // namespace vlm
