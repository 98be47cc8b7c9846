#pragma once
/// Accuracy of predicted boxes at an overlap (specs: eval, 7). Arithmetic is in float32, as in the references.

#include <ATen/core/Tensor.h>

#include <string>

namespace vlm {

using at::Tensor;

enum class BoxVariant {
  ofa,    ///< x0, y0, x1, y1 in pixels; areas with their sign; overlapping sides must be positive
  albef,  ///< x, y, w, h with inclusive pixel edges; an overlap one pixel wide counts as none (ALBEF, TCL)
  mplug,  ///< centre x, centre y, w, h in 0 .. 1; the prediction is clamped to the picture, the target is not
};

/// By its name above; throws a usage error that lists the names.
BoxVariant box_variant_named(const std::string& name);

struct GroundingAccuracy {
  Tensor iou;      ///< [N] float
  Tensor correct;  ///< [N] float, 0 or 1
  double accuracy = 0;
};

/// predicted, target: [N, 4]. Right is an overlap (intersection over union) of at least `threshold`.
GroundingAccuracy grounding_accuracy(const Tensor& predicted, const Tensor& target, BoxVariant variant = BoxVariant::ofa,
                                     double threshold = 0.5);

}  // namespace vlm
