#pragma once
/// Contrast between samples of classes: several views of a sample, and other samples of its class, belong together.

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace vlm {

using at::Tensor;

struct SupervisedContrastOptions {
  double temperature = 0.07;
  double base_temperature = 0.07;  ///< the loss is multiplied by temperature / base_temperature
  bool first_view_anchors = false; ///< anchors are the first views only (contrast mode "one"), not all ("all")
};

/// Supervised contrastive loss (arXiv 2004.11362, eq. 2, L_out; specs: alignment, 8). features: [B, n, d], unit rows: n views of B
/// samples; labels: [B], int64, undefined: each sample is its own class. For each anchor the mean over its positives (same class,
/// not itself) of -log( e^s / sum over all but itself of e^s ); an anchor without positives counts as 0 in the mean over anchors.
Tensor supervised_contrast_loss(const Tensor& features, const Tensor& labels = {}, const SupervisedContrastOptions& options = {});

struct AsymmetricContrastOptions {
  double temperature = 0.1;
  /// Smoothed targets reach all O outliers. The reference shifts them by one, so that the first outlier gets nothing and rows
  /// sum to 1 - smoothing / O; false does the same.
  bool smooth_all_outliers = false;
};

/// Partial and asymmetric supervised contrast (PASCL, arXiv 2207.01160; specs: alignment, 8): samples of rare classes are pulled to
/// their class and pushed from each other and from outliers, which are no anchors. features: [B, 2, d]; outliers: [O, d]; labels: [B].
/// class_weights: [C], a factor of each anchor's loss; smoothing: [C], the share of a class's targets that goes to the outliers,
/// evenly. Either may be undefined. Mean over the 2 B anchors.
Tensor asymmetric_contrast_loss(const Tensor& features, const Tensor& outliers, const Tensor& labels, const Tensor& class_weights = {},
                                const Tensor& smoothing = {}, const AsymmetricContrastOptions& options = {});

/// [C]: base (prior - smallest) / (largest - smallest); 0 where all classes are as frequent. class_counts: [C].
Tensor class_smoothing(const Tensor& class_counts, double base);

/// The first of the tail classes, classes sorted by how frequent they are: round((1 - share) classes).
int64_t first_tail_class(int64_t classes, double share);

}  // namespace vlm
