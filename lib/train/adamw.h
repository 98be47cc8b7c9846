#pragma once
/// AdamW (Loshchilov and Hutter, arXiv 1711.05101) on LibTorch's fused kernel.

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "vlm/core/config.h"
#include "vlm/io/tensor_map.h"
#include "vlm/models/interfaces.h"

namespace vlm {

struct AdamWOptions {
  double lr = 5e-4, beta1 = 0.9, beta2 = 0.98, eps = 1e-6, weight_decay = 0.2;

  void fields(Fields& f) {
    f.field("lr", lr, "peak learning rate");
    f.field("beta1", beta1, "decay of the first moment");
    f.field("beta2", beta2, "decay of the second moment");
    f.field("eps", eps, "added to the root of the second moment");
    f.field("weight_decay", weight_decay, "decoupled decay, of matrices only");
  }
};

/// open_clip's rule: no decay for parameters of fewer than two dimensions, nor for names that hold bn, ln, bias or logit_scale.
bool takes_weight_decay(const std::string& name, const Tensor& parameter);

/// p <- p (1 - lr wd); then p <- p - lr m̂ / (√v̂ + eps) with bias-corrected moments. Parameters without a gradient are left alone.
class AdamW {
 public:
  AdamW(std::vector<NamedTensor> parameters, const AdamWOptions& options);
  /// One step with the gradients that the parameters hold, at learning rate `lr`.
  void step(double lr);
  void zero_grad();
  /// Moments and step counts under "exp_avg.NAME", "exp_avg_sq.NAME", "step.NAME".
  TensorMap state() const;
  /// Throws if a tensor is missing or has another shape.
  void load_state(const TensorMap& state);
  const std::vector<NamedTensor>& parameters() const { return parameters_; }

 private:
  std::vector<NamedTensor> parameters_;
  std::vector<Tensor> exp_avg_, exp_avg_sq_, steps_;
  std::vector<bool> decays_;
  AdamWOptions options_;
};

/// Scales all gradients so that their joint L2 norm is at most `max_norm` (coefficient max_norm / (norm + 1e-6), at most 1).
/// Returns the norm before; max_norm <= 0 only measures.
double clip_gradients(const std::vector<NamedTensor>& parameters, double max_norm);

}  // namespace vlm
