#pragma once
/// A linear probe: multinomial logistic regression on a model's vectors, which stay as they are (Radford et al., arXiv
/// 2103.00020, section 3.2 and appendix A.3). Deterministic: the whole set at every step, in double, from zero.

#include <ATen/core/Tensor.h>

#include <vector>

#include "vlm/core/config.h"

namespace vlm {

using at::Tensor;

struct LinearProbeOptions {
  /// Strengths that are tried, the strongest first: the loss is the mean cross entropy + l2 / 2 |weight|^2.
  std::vector<double> l2 = {1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6};
  int64_t max_steps = 300;   ///< of L-BFGS, for each strength
  double tolerance = 1e-5;   ///< largest element of the gradient at the end

  void fields(Fields& f) {
    f.field("l2", l2, "strengths of weight decay that are tried: mean cross entropy + l2 / 2 |weight|^2");
    f.field("max_steps", max_steps, "steps of L-BFGS for each strength");
    f.field("tolerance", tolerance, "largest element of the gradient at the end");
  }
};

struct LinearProbe {
  Tensor weight, bias;  ///< [C, E], [C], double
  double l2 = 0;
  double loss = 0;      ///< with the penalty, on what it was fitted to
  int64_t steps = 0;
  bool converged = false;

  /// vectors: [N, E]. Returns [N, C], double.
  Tensor logits(const Tensor& vectors) const;
};

/// vectors: [N, E]; labels: [N], int64, below `classes`. The bias is not penalised. Classes without an example are learnt to be
/// unlikely. `start`: where to begin, as a probe of another strength; null: at zero. Throws if shapes or labels do not fit.
LinearProbe fit_linear_probe(const Tensor& vectors, const Tensor& labels, int64_t classes, double l2, const LinearProbeOptions& options = {},
                             const LinearProbe* start = nullptr);

struct ProbeChoice {
  LinearProbe probe;
  double held_out_top1 = 0;  ///< share of the held-out vectors that it gets right
};

/// The probe, fitted to `vectors`, whose strength does best on the held-out ones; of equals the strongest.
ProbeChoice choose_linear_probe(const Tensor& vectors, const Tensor& labels, const Tensor& held_out, const Tensor& held_out_labels,
                                int64_t classes, const LinearProbeOptions& options = {});

}  // namespace vlm
