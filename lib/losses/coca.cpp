#include "vlm/losses/coca.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/zeros_like.h>

#include "vlm/core/error.h"

namespace vlm {

Tensor CocaLoss::total() const { return contrastive + caption; }

Tensor caption_loss(const Tensor& logits, const Tensor& labels, int64_t pad_id) {
  if (logits.dim() != 3 || labels.dim() != 2 || logits.size(0) != labels.size(0) || logits.size(1) != labels.size(1)) {
    fail("a captioning loss needs logits [B, L, V] and labels [B, L]: got ", logits.sizes(), " and ", labels.sizes());
  }
  return at::cross_entropy_loss(logits.flatten(0, 1), labels.flatten(), {}, at::Reduction::Mean, pad_id);
}

CocaLoss coca_loss(const Tensor& contrastive, const Tensor& logits, const Tensor& labels, const CocaOptions& options) {
  CocaLoss out;
  out.caption = caption_loss(logits, labels, options.pad_id) * options.caption_loss_weight;
  if (options.clip_loss_weight == 0) {
    out.contrastive = at::zeros_like(out.caption);
  } else {
    if (!contrastive.defined()) fail("the loss of CoCa with a contrastive weight of ", options.clip_loss_weight, " needs the contrastive loss");
    out.contrastive = contrastive * options.clip_loss_weight;
  }
  return out;
}

}  // namespace vlm
