#pragma once
/// Group generalised mean pooling (GGeM, arXiv 2212.04114).

#include "vlm/models/layers/basic.h"

namespace vlm {

/// f_c = (mean_n max(x_nc, eps)^p_g)^(1/p_g), with one exponent for each group of consecutive channels.
/// tokens: [B, N, C], p: [G], C a multiple of G. Returns [B, C], computed in float32.
Tensor ggem_pool(const Tensor& tokens, const Tensor& p, double eps = 1e-6);

class GGeM : public torch::nn::Module {
 public:
  GGeM(int64_t channels, int64_t groups, double p_init = 3.0, double eps = 1e-6);
  /// x: [B, N, C], patches only. Returns [B, C].
  Tensor forward(const Tensor& x) const;

  Tensor p;  ///< [G]

 private:
  double eps_;
};

}  // namespace vlm
