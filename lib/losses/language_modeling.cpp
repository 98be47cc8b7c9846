#include "vlm/losses/language_modeling.h"

#include <ATen/core/Reduction.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/softmax.h>

#include "vlm/core/error.h"

namespace vlm {

namespace language_modeling {

void check(const char* what, const Tensor& logits, const Tensor& labels) {
  if (logits.dim() != 3 || labels.dim() != 2 || logits.size(0) != labels.size(0) || logits.size(1) != labels.size(1) || labels.size(1) < 2) {
    fail(what, " takes logits [B, L, V] and labels [B, L] with L of at least 2, not ", logits.sizes(), " and ", labels.sizes());
  }
}

}  // namespace language_modeling

Tensor next_token_loss(const Tensor& logits, const Tensor& labels, int64_t ignore, double label_smoothing) {
  language_modeling::check("next_token_loss", logits, labels);
  const Tensor scores = logits.slice(1, 0, -1).reshape({-1, logits.size(2)});  // [B (L - 1), V]
  const Tensor target = labels.slice(1, 1).reshape({-1});
  return at::cross_entropy_loss(scores, target, {}, at::Reduction::Mean, ignore, label_smoothing);
}

Tensor next_token_row_losses(const Tensor& logits, const Tensor& labels, const Tensor& logits_m, double alpha, int64_t ignore,
                             double label_smoothing) {
  language_modeling::check("next_token_row_losses", logits, labels);
  if (!(alpha >= 0 && alpha <= 1)) fail("alpha, the share of the momentum network's targets, lies in 0 .. 1, not ", alpha);
  if (alpha > 0 && (!logits_m.defined() || logits_m.sizes() != logits.sizes())) {
    fail("with alpha ", alpha, " the momentum network's logits are needed, as large as the model's ", logits.sizes());
  }
  const Tensor scores = logits.slice(1, 0, -1), target = labels.slice(1, 1);  // [B, L - 1, V], [B, L - 1]
  const Tensor hard = at::cross_entropy_loss(scores.transpose(1, 2), target, {}, at::Reduction::None, ignore, label_smoothing).sum(1);
  if (alpha == 0) return hard;
  const Tensor soft = -(at::softmax(logits_m.detach().slice(1, 0, -1), 2) * at::log_softmax(scores, 2)).sum(2);  // [B, L - 1]
  return (1 - alpha) * hard + alpha * soft.masked_fill(target.eq(ignore), 0).sum(1);
}

}  // namespace vlm
