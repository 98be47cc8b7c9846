#include "vlm/losses/box_token_loss.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/minimum.h>

#include "vlm/core/error.h"

namespace vlm {

namespace box_token {

constexpr double least_area = 1e-5;  ///< keeps quotients finite, as in the reference

struct Corner {
  Tensor low, high;  ///< [B, 2]
};

Corner corners(const Tensor& boxes) {
  const Tensor centre = boxes.slice(1, 0, 2), half = boxes.slice(1, 2, 4) / 2;
  return {centre - half, centre + half};
}

Tensor area(const Tensor& sides) { return sides.select(1, 0) * sides.select(1, 1); }

Tensor generalised_overlap(const Tensor& a, const Tensor& b) {  // [B]
  const Corner p = corners(a), q = corners(b);
  const Tensor shared = area((at::minimum(p.high, q.high) - at::maximum(p.low, q.low)).clamp_min(0));
  const Tensor together = area(p.high - p.low) + area(q.high - q.low) - shared;
  const Tensor around = area((at::maximum(p.high, q.high) - at::minimum(p.low, q.low)).clamp_min(0));
  return shared / (together + least_area) - (around - together) / (around + least_area);
}

}  // namespace box_token

BoxTokenLoss box_token_loss(const Tensor& logits, const Tensor& ids, const Tensor& target, const BoxTokenLossOptions& options) {
  const int64_t rows = target.size(0);
  if (target.dim() != 2 || target.size(1) != 4) fail("boxes must be [B, 4], not ", target.sizes());
  if (logits.dim() != 3 || logits.size(0) != rows || logits.size(1) != 5) fail("logits of ", rows, " boxes must be [", rows, ", 5, V], not ", logits.sizes());
  if (ids.dim() != 2 || ids.size(0) != rows || ids.size(1) != 5) fail("ids of ", rows, " boxes must be [", rows, ", 5], not ", ids.sizes());
  BoxTokenLoss out;
  const Tensor scores = logits.slice(1, 0, 4), labels = ids.slice(1, 1, 5);
  out.token_loss = -at::log_softmax(scores.to(at::kFloat), 2).gather(2, labels.unsqueeze(2)).squeeze(2);       // [B, 4]
  out.boxes = (scores.detach().argmax(2) - options.first).to(at::kFloat) / static_cast<double>(options.bins);  // [B, 4]
  out.weight_l1 = (out.boxes - target).abs().clamp(0, options.max_l1).detach();
  out.weight_giou = (1 - box_token::generalised_overlap(out.boxes, target)).detach();                          // [B]
  const Tensor weights = out.weight_l1 * out.weight_giou.unsqueeze(1);                                         // [B, 4]
  out.loss = options.own_weights ? (out.token_loss * weights).mean()
                                 : (out.token_loss.sum(0) * weights.sum(0)).sum() / static_cast<double>(4 * rows * rows);
  return out;
}

}  // namespace vlm
