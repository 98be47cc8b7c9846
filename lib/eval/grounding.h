#pragma once
/// Accuracy of predicted boxes at an overlap (specs: eval, 7), and the choice among proposed ones. Arithmetic is in float32, as in the references.

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

struct BoxPick {
  Tensor scores;      ///< [N] float
  int64_t best = -1;  ///< the first of the highest scores above 0; -1: there is none
};

/// Which of several boxes a heat map speaks for (ALBEF, arXiv 2107.07651; specs: alignment, 3.6): the map [s, s'], brought to the
/// picture's size (bicubic), summed over each box and divided by its area to the power of `exponent`. boxes: [N, 4], x, y, w, h in
/// pixels, of which rows int(y) to int(y + h) - 1 count, and columns likewise. Throws for a box without area.
BoxPick pick_box(const Tensor& map, const Tensor& boxes, int64_t height, int64_t width, double exponent = 0.5);

}  // namespace vlm
