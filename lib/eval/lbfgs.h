#pragma once
/// Limited-memory BFGS (Nocedal, Mathematics of Computation 35, 1980; Nocedal and Wright, Numerical Optimization, algorithm 7.5)
/// for smooth functions of one vector whose value and gradient can be had whole. Not for training: see train/optimizer.h.

#include <ATen/core/Tensor.h>

#include <functional>

namespace vlm {

using at::Tensor;

struct LbfgsOptions {
  int64_t max_steps = 300;
  int64_t history = 10;     ///< pairs of steps and gradient changes that stand for the curvature
  double tolerance = 1e-6;  ///< done when no element of the gradient is larger
};

struct LbfgsResult {
  Tensor x;               ///< as `start`
  double value = 0;
  int64_t steps = 0;
  bool converged = false; ///< whether the tolerance was met, rather than the steps used up or the floats
};

/// Value at x, and the gradient there. x, gradient: [N], double.
using ValueAndGradient = std::function<double(const Tensor& x, Tensor& gradient)>;

/// Goes down from `start` ([N], double), halving a step until the value falls as the slope promises (Armijo, 1e-4).
LbfgsResult minimize_lbfgs(const Tensor& start, const ValueAndGradient& function, const LbfgsOptions& options = {});

}  // namespace vlm
