#include "vlm/losses/composed_retrieval.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/std.h>

#include <cmath>

#include "vlm/core/error.h"

namespace vlm {

namespace composed_retrieval {

Tensor info(const Tensor& a, const Tensor& b) {
  if (a.dim() != 2 || a.sizes() != b.sizes()) fail("composed retrieval takes features [B, d] of one shape, not ", a.sizes(), " and ", b.sizes());
  return at::cross_entropy_loss(at::matmul(a, b.t()), at::arange(a.size(0), a.options().dtype(at::kLong)));
}

}  // namespace composed_retrieval

Tensor jitter_features(const Tensor& features, const Tensor& noise_alpha, const Tensor& noise_beta, const FeatureJitterOptions& options) {
  if (features.dim() != 2 || features.size(1) < 2 || features.sizes() != noise_alpha.sizes() || features.sizes() != noise_beta.sizes()) {
    fail("features [B, d] are jittered by noise of their shape, not ", features.sizes(), " by ", noise_alpha.sizes(), " and ", noise_beta.sizes());
  }
  const Tensor constant = features.detach();
  const Tensor mean = constant.mean(1, true), spread = constant.std(1, /*unbiased=*/true, /*keepdim=*/true);  // [B, 1]
  const Tensor alpha = options.alpha_scale * (1 + spread * noise_alpha), beta = options.beta_scale * (mean + spread * noise_beta);
  const Tensor centred = features - features.mean(1, true);
  return alpha * centred / ((centred * centred).mean(1, true) + 1e-5).sqrt() + beta;
}

Tensor ComposedRetrievalLoss::loss() const { return gamma * uncertainty + (1 - gamma) * info; }

ComposedRetrievalLoss composed_retrieval_loss(const Tensor& query, const Tensor& target, const Tensor& jittered, double gamma) {
  ComposedRetrievalLoss out;
  const Tensor s = jittered.std(/*unbiased=*/true);
  out.uncertainty = (at::exp(-s) * composed_retrieval::info(query, jittered) + s) / 2;
  out.info = composed_retrieval::info(query, target);
  out.gamma = gamma;
  return out;
}

double uncertainty_weight(double epoch, double total_epochs, double gamma_scale) {
  if (!(total_epochs > 0)) fail("a run has more than ", total_epochs, " epochs");
  return std::exp(-gamma_scale * epoch / total_epochs);
}

}  // namespace vlm
