#include "vlm/models/layers/ggem.h"

#include <ATen/ops/full.h>

#include "vlm/core/error.h"

namespace vlm {

Tensor ggem_pool(const Tensor& tokens, const Tensor& p, double eps) {
  const int64_t groups = p.size(0), channels = tokens.size(-1);
  if (groups <= 0 || channels % groups != 0) fail("GGeM pooling: ", channels, " channels cannot be split into ", groups, " groups");
  const Tensor x = tokens.to(at::kFloat).clamp_min(eps).view({tokens.size(0), tokens.size(1), groups, channels / groups});
  const Tensor exponent = p.to(at::kFloat).view({groups, 1});
  const Tensor mean = x.pow(exponent).mean(1);                                                // [B, G, C/G]
  return mean.pow(exponent.reciprocal()).reshape({tokens.size(0), channels}).to(tokens.scalar_type());
}

GGeM::GGeM(int64_t channels, int64_t groups, double p_init, double eps) : eps_(eps) {
  if (groups <= 0 || channels % groups != 0) fail_usage("ggem_groups ", groups, " does not divide the ", channels, " channels that are pooled");
  p = register_parameter("p", at::full({groups}, p_init));
}

Tensor GGeM::forward(const Tensor& x) const { return ggem_pool(x, p, eps_); }

}  // namespace vlm
