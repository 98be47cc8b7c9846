#include "vlm/losses/box_overlap.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/minimum.h>

#include "vlm/core/error.h"

namespace vlm {

namespace box_overlap {

struct Corners {
  Tensor low, high;  // [N, 2]: x, y
};

Corners corners(const Tensor& box) {
  const Tensor centre = box.narrow(1, 0, 2), half = box.narrow(1, 2, 2) / 2;
  return {centre - half, centre + half};
}

Tensor area(const Tensor& sides) { return sides.select(1, 0) * sides.select(1, 1); }

}  // namespace box_overlap

Tensor generalised_iou(const Tensor& predicted, const Tensor& target) {
  using namespace box_overlap;
  if (predicted.dim() != 2 || predicted.size(1) != 4 || predicted.sizes() != target.sizes()) {
    fail("overlaps are of paired boxes [N, 4], not ", predicted.sizes(), " and ", target.sizes());
  }
  constexpr double eps = 1e-5;
  const Corners p = corners(predicted), t = corners(target);
  const Tensor shared = area((at::minimum(p.high, t.high) - at::maximum(p.low, t.low)).clamp_min(0));
  const Tensor together = area(p.high - p.low) + area(t.high - t.low) - shared;
  const Tensor around = area((at::maximum(p.high, t.high) - at::minimum(p.low, t.low)).clamp_min(0));
  return shared / (together + eps) - (around - together) / (around + eps);
}

}  // namespace vlm
