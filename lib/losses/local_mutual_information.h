#pragma once
/// Local mutual information: a sample's global feature is told apart from the parts of other samples (TCL, arXiv 2202.10401,
/// eq. 6 and 7; specs: alignment, 2.3).

#include <ATen/core/Tensor.h>

#include <string_view>

namespace vlm {

using at::Tensor;

/// How a grid of patches becomes fewer parts.
enum class LocalPooling {
  sqrt,     ///< a grid of side c² becomes c x c parts, as in TCL's pre-training (16 x 16 -> 4 x 4)
  fixed16,  ///< any grid becomes 4 x 4 parts, as in its fine-tuning (24 x 24 -> 4 x 4)
};

/// By its name above; throws a usage error that lists the names.
LocalPooling local_pooling_named(std::string_view name);

/// Means of squares of neighbouring patches. local: [B, P, d], a square grid row by row, without the class token; returns
/// [B, c², d]. What was of unit length is so no more, on purpose. Throws for grids that the pooling cannot cut evenly.
Tensor pool_local_features(const Tensor& local, LocalPooling pooling);

/// - mean over samples and parts of log( e^p / (e^p + sum e^q) ): p is a part's dot product with its sample's global feature,
/// divided by temp; q those of that global feature with all parts of the other samples.
/// local: [B, n, d], a constant, whatever graph it carries; global: [B, d] and temp: scalar get gradients. mask: [B, n], 1 where
/// a part is one (texts; the mean is first over the parts of a sample, then over samples), undefined: all are. Throws for a
/// single sample or a single part.
Tensor local_mutual_information(const Tensor& local, const Tensor& global, const Tensor& temp, const Tensor& mask = {});

}  // namespace vlm
