#include "vlm/eval/lbfgs.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/dot.h>

#include <algorithm>
#include <deque>
#include <vector>

namespace vlm {

namespace lbfgs {

double scalar_product(const Tensor& a, const Tensor& b) { return at::dot(a, b).item<double>(); }

struct Pair {
  Tensor step, change;  // s = x' - x, y = g' - g
  double rho = 0;       // 1 / (s . y)
};

/// Minus the inverse Hessian, as the pairs show it, times the gradient (the two-loop recursion).
Tensor direction(const Tensor& gradient, const std::deque<Pair>& pairs) {
  Tensor q = gradient.neg();
  std::vector<double> along(pairs.size());
  for (size_t i = pairs.size(); i-- > 0;) {
    along[i] = pairs[i].rho * scalar_product(pairs[i].step, q);
    q.sub_(pairs[i].change, along[i]);
  }
  if (!pairs.empty()) q.mul_(1 / (pairs.back().rho * scalar_product(pairs.back().change, pairs.back().change)));
  for (size_t i = 0; i < pairs.size(); ++i) q.add_(pairs[i].step, along[i] - pairs[i].rho * scalar_product(pairs[i].change, q));
  return q;
}

}  // namespace lbfgs

LbfgsResult minimize_lbfgs(const Tensor& start, const ValueAndGradient& function, const LbfgsOptions& options) {
  LbfgsResult out{.x = start.clone()};
  Tensor gradient;
  out.value = function(out.x, gradient);
  std::deque<lbfgs::Pair> pairs;
  while (true) {
    out.converged = gradient.abs().max().item<double>() <= options.tolerance;
    if (out.converged || out.steps == options.max_steps) return out;
    Tensor way = lbfgs::direction(gradient, pairs);
    double slope = lbfgs::scalar_product(way, gradient);
    if (slope >= 0) {  // rounding has spoilt what the pairs say
      pairs.clear();
      way = gradient.neg();
      slope = -lbfgs::scalar_product(gradient, gradient);
    }
    // Without a curvature to go by, the first step is one of length 1 at most.
    double length = pairs.empty() ? std::min(1.0, 1 / gradient.norm().item<double>()) : 1;
    Tensor x, next;
    double value = 0;
    for (int halvings = 0;; ++halvings) {
      x = out.x + way * length;
      value = function(x, next);
      if (value <= out.value + 1e-4 * length * slope) break;
      if (halvings == 40) return out;  // as deep as doubles can tell
      length /= 2;
    }
    lbfgs::Pair pair{.step = x - out.x, .change = next - gradient};
    if (const double curvature = lbfgs::scalar_product(pair.step, pair.change); curvature > 1e-14 * lbfgs::scalar_product(pair.change, pair.change)) {
      pair.rho = 1 / curvature;
      pairs.push_back(std::move(pair));
      if (pairs.size() > static_cast<size_t>(options.history)) pairs.pop_front();
    }
    out.x = x;
    out.value = value;
    gradient = next;
    ++out.steps;
  }
}

}  // namespace vlm
