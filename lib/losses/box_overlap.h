#pragma once
/// How far predicted boxes are from the right ones.

#include <ATen/core/Tensor.h>

namespace vlm {

using at::Tensor;

/// Generalised intersection over union (arXiv 1902.09630) of paired boxes, [N], with 1e-5 added to both denominators as mPLUG does
/// (specs: mplug, 3.4). predicted, target: [N, 4]: centre x, centre y, width, height. Differentiable; -1 to 1.
Tensor generalised_iou(const Tensor& predicted, const Tensor& target);

}  // namespace vlm
