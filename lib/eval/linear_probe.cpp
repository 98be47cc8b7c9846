#include "vlm/eval/linear_probe.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>

#include "vlm/core/error.h"
#include "vlm/eval/lbfgs.h"

namespace vlm {

namespace linear_probe {

/// Rows whose logits exist at a time.
constexpr int64_t chunk_rows = 8192;

struct Parameters {
  Tensor weight, bias;  // views of one vector: [C, E], [C]

  Parameters(const Tensor& flat, int64_t classes, int64_t width)
      : weight(flat.slice(0, 0, classes * width).view({classes, width})), bias(flat.slice(0, classes * width)) {}
};

void check(const Tensor& vectors, const Tensor& labels, int64_t classes) {
  if (vectors.dim() != 2 || labels.dim() != 1 || labels.size(0) != vectors.size(0) || vectors.size(0) == 0 || classes < 1) {
    fail("linear probe: vectors ", vectors.sizes(), " do not fit the labels ", labels.sizes(), " of ", classes, " classes");
  }
  const int64_t low = labels.min().item<int64_t>(), high = labels.max().item<int64_t>();
  if (low < 0 || high >= classes) fail("linear probe: labels from ", low, " to ", high, " of ", classes, " classes");
}

double right_share(const Tensor& logits, const Tensor& labels) {
  return logits.argmax(1).eq(labels).to(at::kDouble).mean().item<double>();
}

}  // namespace linear_probe

Tensor LinearProbe::logits(const Tensor& vectors) const { return at::addmm(bias, vectors.to(at::kDouble), weight.t()); }

LinearProbe fit_linear_probe(const Tensor& vectors, const Tensor& labels, int64_t classes, double l2, const LinearProbeOptions& options,
                             const LinearProbe* start) {
  linear_probe::check(vectors, labels, classes);
  const Tensor x = vectors.detach().to(at::kDouble).contiguous(), y = labels.to(at::kLong).unsqueeze(1);
  const int64_t rows = x.size(0), width = x.size(1);
  const auto loss = [&](const Tensor& flat, Tensor& gradient) {
    const linear_probe::Parameters at_point(flat, classes, width);
    gradient = at::zeros_like(flat);
    const linear_probe::Parameters slope(gradient, classes, width);
    double sum = 0;
    for (int64_t from = 0; from < rows; from += linear_probe::chunk_rows) {
      const Tensor part = x.slice(0, from, from + linear_probe::chunk_rows), own = y.slice(0, from, from + linear_probe::chunk_rows);
      const Tensor log_shares = at::log_softmax(at::addmm(at_point.bias, part, at_point.weight.t()), 1);  // [n, C]
      sum -= log_shares.gather(1, own).sum().item<double>();
      const Tensor error = log_shares.exp().scatter_add(1, own, at::zeros_like(own, x.options()).sub(1)).div_(rows);
      Tensor(slope.weight).add_(at::matmul(error.t(), part));
      Tensor(slope.bias).add_(error.sum(0));
    }
    Tensor(slope.weight).add_(at_point.weight, l2);
    return sum / static_cast<double>(rows) + l2 / 2 * at_point.weight.square().sum().item<double>();
  };
  const Tensor from = start ? at::cat({start->weight.reshape({-1}), start->bias}) : at::zeros({classes * (width + 1)}, x.options());
  const LbfgsResult found = minimize_lbfgs(from, loss, {.max_steps = options.max_steps, .tolerance = options.tolerance});
  const linear_probe::Parameters best(found.x, classes, width);
  return {best.weight, best.bias, l2, found.value, found.steps, found.converged};
}

ProbeChoice choose_linear_probe(const Tensor& vectors, const Tensor& labels, const Tensor& held_out, const Tensor& held_out_labels,
                                int64_t classes, const LinearProbeOptions& options) {
  if (options.l2.empty()) fail_usage("a linear probe needs at least one strength of l2");
  linear_probe::check(held_out, held_out_labels, classes);
  std::vector<double> strengths = options.l2;
  std::sort(strengths.rbegin(), strengths.rend());
  ProbeChoice best;
  LinearProbe last;
  for (const double l2 : strengths) {
    // Each begins where the stronger one ended, which is near.
    last = fit_linear_probe(vectors, labels, classes, l2, options, last.weight.defined() ? &last : nullptr);
    const double right = linear_probe::right_share(last.logits(held_out), held_out_labels);
    if (!best.probe.weight.defined() || right > best.held_out_top1) best = {last, right};
  }
  return best;
}

}  // namespace vlm
