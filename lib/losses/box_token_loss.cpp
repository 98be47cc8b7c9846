#include "vlm/losses/box_token_loss.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/log_softmax.h>

#include "vlm/core/error.h"
#include "vlm/losses/box_overlap.h"

namespace vlm {

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
  out.weight_giou = (1 - generalised_iou(out.boxes, target)).detach();                          // [B]
  const Tensor weights = out.weight_l1 * out.weight_giou.unsqueeze(1);                                         // [B, 4]
  out.loss = options.own_weights ? (out.token_loss * weights).mean()
                                 : (out.token_loss.sum(0) * weights.sum(0)).sum() / static_cast<double>(4 * rows * rows);
  return out;
}

}  // namespace vlm
