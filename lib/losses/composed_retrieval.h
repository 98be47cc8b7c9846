#pragma once
/// Composed image retrieval with uncertainty (arXiv 2211.07394; specs: alignment, 7): targets are jittered as far as their own
/// features vary, and matching the jittered ones counts the less the longer a run lasts. [B, d] features of any towers do.

#include <ATen/core/Tensor.h>

namespace vlm {

using at::Tensor;

struct FeatureJitterOptions {
  double alpha_scale = 1;  ///< of the new spread of a row
  double beta_scale = 1;   ///< of its new mean
};

/// alpha rownorm(f) + beta, alpha = alpha_scale (1 + std ε₁), beta = beta_scale (mean + std ε₂), with mean and unbiased std of each
/// row; rownorm: the row minus its mean, divided by sqrt(biased variance + 1e-5), through which alone gradients pass.
/// features, noise_alpha, noise_beta (standard normal): [B, d], d of at least 2.
Tensor jitter_features(const Tensor& features, const Tensor& noise_alpha, const Tensor& noise_beta, const FeatureJitterOptions& options = {});

struct ComposedRetrievalLoss {
  Tensor uncertainty;  ///< ½ (e^-s info(query, jittered) + s), s the unbiased std of all entries of `jittered`; with gradient
  Tensor info;         ///< info(query, target): cross entropy of query targetᵀ against the diagonal, without temperature
  double gamma = 1;
  Tensor loss() const; ///< gamma uncertainty + (1 - gamma) info
};

/// gamma: how much the jittered targets count, of uncertainty_weight(). query: [B, d], composed of picture and text; target,
/// jittered: [B, d].
ComposedRetrievalLoss composed_retrieval_loss(const Tensor& query, const Tensor& target, const Tensor& jittered, double gamma);

/// e^(-gamma_scale epoch / total_epochs), the epoch from 0.
double uncertainty_weight(double epoch, double total_epochs, double gamma_scale = 1);

}  // namespace vlm
