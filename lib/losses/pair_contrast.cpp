#include "vlm/losses/pair_contrast.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/diagonal.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/log.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/where.h>

#include <cmath>
#include <limits>

#include "vlm/core/error.h"

namespace vlm {

namespace pair_contrast {

constexpr double minus_infinity = -std::numeric_limits<double>::infinity();

Tensor scores(const Tensor& image, const Tensor& text, const Tensor& temp) {
  if (image.dim() != 2 || image.sizes() != text.sizes() || image.size(0) < 2) {
    fail("contrast against the other pairs of a batch takes two features [B, d] with B of at least 2, not ", image.sizes(), " and ", text.sizes());
  }
  return at::matmul(image, text.t()) / temp;
}

Tensor own_pairs(const Tensor& scores) { return at::eye(scores.size(0), scores.options().dtype(at::kBool)); }

template <class Rows>
PairContrast both_ways(const Tensor& scores, Rows rows) {
  return {rows(scores), rows(scores.t())};
}

}  // namespace pair_contrast

Tensor PairContrast::loss() const { return (i2t + t2i) / 2; }

PairContrast decoupled_contrast(const Tensor& image, const Tensor& text, const Tensor& temp) {
  return pair_contrast::both_ways(pair_contrast::scores(image, text, temp), [](const Tensor& s) {
    const Tensor negatives = at::logsumexp(s.masked_fill(pair_contrast::own_pairs(s), pair_contrast::minus_infinity), 1);
    return (negatives - at::diagonal(s)).mean();
  });
}

PairContrast hard_negative_contrast(const Tensor& image, const Tensor& text, const Tensor& temp, const HardNegativeOptions& options) {
  if (options.alpha < 0) fail("alpha, the weight of the positive in the denominator, cannot be negative: ", options.alpha);
  return pair_contrast::both_ways(pair_contrast::scores(image, text, temp), [&](const Tensor& s) {
    const Tensor own = pair_contrast::own_pairs(s);
    const Tensor basis = options.detach_weights ? s.detach() : s;
    const Tensor log_weights = at::log_softmax((options.beta * basis).masked_fill(own, pair_contrast::minus_infinity), 1) +
                               std::log(static_cast<double>(s.size(0) - 1));
    const Tensor terms = s + at::where(own, at::full_like(s, std::log(options.alpha)), log_weights);
    return (at::logsumexp(terms, 1) - at::diagonal(s)).mean();
  });
}

PairContrast debiased_contrast(const Tensor& image, const Tensor& text, const Tensor& temp, double tau_plus) {
  if (!(tau_plus >= 0 && tau_plus < 1)) fail("tau_plus, the share of false negatives, lies in 0 .. 1 (not 1 itself), not ", tau_plus);
  return pair_contrast::both_ways(pair_contrast::scores(image, text, temp), [&](const Tensor& s) {
    // Everything is divided by e^(the row's largest), which keeps small temperatures from overflowing.
    const Tensor largest = std::get<0>(s.detach().max(1, /*keepdim=*/true));                    // [B, 1]
    const Tensor e = at::exp(s - largest);
    const Tensor positive = at::diagonal(e);                                                    // [B]
    const auto n = static_cast<double>(s.size(0) - 1);
    const Tensor estimate = (e.masked_fill(pair_contrast::own_pairs(s), 0).sum(1) - n * tau_plus * positive) / (1 - tau_plus);
    const Tensor bound = n * at::exp(-1 / temp.detach() - largest.squeeze(1));
    const Tensor negatives = at::where(estimate.gt(bound), estimate, bound);
    return (at::log(positive + negatives) - (at::diagonal(s) - largest.squeeze(1))).mean();
  });
}

}  // namespace vlm
