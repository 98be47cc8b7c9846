#include "vlm/losses/language_modeling.h"

#include <ATen/core/Reduction.h>
#include <ATen/ops/cross_entropy_loss.h>

#include "vlm/core/error.h"

namespace vlm {

Tensor next_token_loss(const Tensor& logits, const Tensor& labels, int64_t ignore, double label_smoothing) {
  if (logits.dim() != 3 || labels.dim() != 2 || logits.size(0) != labels.size(0) || logits.size(1) != labels.size(1) || labels.size(1) < 2) {
    fail("next_token_loss takes logits [B, L, V] and labels [B, L] with L of at least 2, not ", logits.sizes(), " and ", labels.sizes());
  }
  const Tensor scores = logits.slice(1, 0, -1).reshape({-1, logits.size(2)});  // [B (L - 1), V]
  const Tensor target = labels.slice(1, 1).reshape({-1});
  return at::cross_entropy_loss(scores, target, {}, at::Reduction::Mean, ignore, label_smoothing);
}

}  // namespace vlm
