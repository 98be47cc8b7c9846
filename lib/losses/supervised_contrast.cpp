#include "vlm/losses/supervised_contrast.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "vlm/core/error.h"

namespace vlm {

namespace supervised_contrast {

/// [n B, d]: all first views, then all second ones, ...
Tensor view_major(const Tensor& features) { return features.transpose(0, 1).reshape({-1, features.size(2)}); }

/// [n B, n B], bool: same class and not the same row.
Tensor positives(const Tensor& labels, int64_t views) {
  const Tensor rows = labels.reshape({-1}).repeat({views});
  const Tensor own = at::eye(rows.size(0), rows.options().dtype(at::kBool));
  return rows.unsqueeze(1).eq(rows.unsqueeze(0)).logical_and(own.logical_not());
}

}  // namespace supervised_contrast

Tensor supervised_contrast_loss(const Tensor& features, const Tensor& labels, const SupervisedContrastOptions& options) {
  if (features.dim() != 3 || features.size(0) * features.size(1) < 2) {
    fail("supervised contrast takes views [B, n, d] with at least two rows in all, not ", features.sizes());
  }
  const int64_t batch = features.size(0), views = features.size(1);
  if (labels.defined() && labels.numel() != batch) fail("supervised contrast of ", batch, " samples takes as many labels, not ", labels.sizes());
  const Tensor classes = labels.defined() ? labels : at::arange(batch, features.options().dtype(at::kLong));
  const Tensor contrast = supervised_contrast::view_major(features);                              // [n B, d]
  const int64_t anchors = options.first_view_anchors ? batch : batch * views;
  const Tensor scores = at::matmul(contrast.narrow(0, 0, anchors), contrast.t()) / options.temperature;  // [A, n B]
  const Tensor own = at::eye(anchors, batch * views, scores.options().dtype(at::kBool));
  const Tensor positive = supervised_contrast::positives(classes, views).narrow(0, 0, anchors).to(scores.scalar_type());
  const Tensor log_sum = at::logsumexp(scores.masked_fill(own, -std::numeric_limits<double>::infinity()), 1, true);
  const Tensor per_anchor = (positive * (scores - log_sum)).sum(1) / positive.sum(1).clamp_min(1);
  return per_anchor.mean() * (-options.temperature / options.base_temperature);
}

Tensor asymmetric_contrast_loss(const Tensor& features, const Tensor& outliers, const Tensor& labels, const Tensor& class_weights,
                                const Tensor& smoothing, const AsymmetricContrastOptions& options) {
  if (features.dim() != 3 || features.size(1) != 2 || outliers.dim() != 2 || outliers.size(1) != features.size(2)) {
    fail("asymmetric contrast takes two views [B, 2, d] and outliers [O, d], not ", features.sizes(), " and ", outliers.sizes());
  }
  if (labels.numel() != features.size(0)) fail("asymmetric contrast of ", features.size(0), " samples takes as many labels, not ", labels.sizes());
  const Tensor anchors = supervised_contrast::view_major(features);              // [2 B, d]
  const int64_t rows = anchors.size(0), outside = outliers.size(0);
  const Tensor scores = at::matmul(anchors, at::cat({anchors, outliers}).t()) / options.temperature;
  const Tensor own = at::eye(rows, rows + outside, scores.options().dtype(at::kBool));
  const Tensor log_p = at::log_softmax(scores.masked_fill(own, -std::numeric_limits<double>::infinity()), 1).masked_fill(own, 0);
  const Tensor classes = labels.reshape({-1}).repeat({2});                       // [2 B]
  Tensor inside = supervised_contrast::positives(labels, 2).to(scores.scalar_type());
  inside = inside / inside.sum(1, true);                                         // never 0: there is the other view
  Tensor beyond = at::zeros({rows, outside}, scores.options());
  if (smoothing.defined()) {
    const Tensor share = smoothing.to(scores.options()).index_select(0, classes).unsqueeze(1);  // [2 B, 1]
    inside = inside * (1 - share);
    const int64_t skipped = options.smooth_all_outliers || outside == 0 ? 0 : 1;
    beyond.narrow(1, skipped, outside - skipped).add_(share / static_cast<double>(std::max<int64_t>(1, outside)));
  }
  Tensor per_anchor = -(at::cat({inside, beyond}, 1) * log_p).sum(1);
  if (class_weights.defined()) per_anchor = per_anchor * class_weights.to(scores.options()).index_select(0, classes);
  return per_anchor.mean();
}

Tensor class_smoothing(const Tensor& class_counts, double base) {
  const Tensor counts = class_counts.to(at::kDouble);
  const double low = counts.min().item<double>(), range = counts.max().item<double>() - low;
  // Counts and priors differ by a factor that cancels.
  return (range > 0 ? (counts - low) * (base / range) : at::zeros_like(counts)).to(at::kFloat);
}

int64_t first_tail_class(int64_t classes, double share) { return std::llround((1 - share) * static_cast<double>(classes)); }

}  // namespace vlm
