#pragma once
/// What tests of losses share: seeded rows, and gradients by finite differences.

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <functional>
#include <initializer_list>
#include <vector>

#include "vlm/core/rng.h"

namespace vlm::loss_checks {

using at::Tensor;

inline Tensor random_rows(int64_t rows, int64_t width, uint64_t seed) {
  SplitMix64 random(seed);
  std::vector<double> numbers;
  for (int64_t i = 0; i < rows * width; ++i) numbers.push_back(random.normal());
  return at::tensor(numbers, at::kDouble).view({rows, width});
}

inline Tensor random_units(int64_t rows, int64_t width, uint64_t seed) {
  const Tensor x = random_rows(rows, width, seed);
  return (x / at::linalg_vector_norm(x, 2, at::IntArrayRef{1}, true)).clone();
}

inline Tensor number(double value) { return at::full({}, value, at::kDouble); }

/// The gradients that autograd finds are those of central differences. `inputs` are doubles without gradients.
inline void expect_gradients(std::initializer_list<Tensor> inputs, const std::function<Tensor()>& loss) {
  const double step = 1e-6;
  std::vector<Tensor> expected;
  for (const Tensor& x : inputs) {
    at::NoGradGuard no_grad;
    Tensor flat = x.view(-1);
    std::vector<double> slopes;
    for (int64_t i = 0; i < flat.size(0); ++i) {
      flat[i] += step;
      const double up = loss().item<double>();
      flat[i] -= 2 * step;
      slopes.push_back((up - loss().item<double>()) / (2 * step));
      flat[i] += step;
    }
    expected.push_back(at::tensor(slopes, at::kDouble).view(x.sizes()));
  }
  for (const Tensor& x : inputs) Tensor(x).requires_grad_();
  loss().backward();
  size_t n = 0;
  for (const Tensor& x : inputs) {
    ASSERT_TRUE(x.grad().defined()) << "input " << n << " got no gradient";
    EXPECT_TRUE(at::allclose(x.grad(), expected[n], 1e-5, 1e-6)) << "input " << n << ": " << x.grad() << " instead of " << expected[n];
    ++n;
    Tensor(x).mutable_grad() = Tensor();
    Tensor(x).requires_grad_(false);
  }
}

}  // namespace vlm::loss_checks
