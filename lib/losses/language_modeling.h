#pragma once
/// Losses of decoders that predict the next token.

#include <ATen/core/Tensor.h>

namespace vlm {

using at::Tensor;

/// Cross entropy of logits[:, :-1] against labels[:, 1:], the mean over labels that are not `ignore`.
/// logits: [B, L, V], labels: [B, L], int64. label_smoothing spreads that share of the target over all V ids evenly
/// (Szegedy et al., arXiv 1512.00567).
Tensor next_token_loss(const Tensor& logits, const Tensor& labels, int64_t ignore = -100, double label_smoothing = 0.0);

/// The sums, not means, of the same over each row: [B], what answers are learnt and ranked by (ALBEF, arXiv 2107.07651; specs:
/// alignment, 3.2). With logits_m, [B, L, V], of a momentum network and a constant, row r is (1 - alpha) hard_r + alpha soft_r, where
/// soft_r sums - sum_v p_m(v) log p(v) over the labels that count. A row without labels is 0. label_smoothing is that of hard_r.
Tensor next_token_row_losses(const Tensor& logits, const Tensor& labels, const Tensor& logits_m = {}, double alpha = 0,
                             int64_t ignore = -100, double label_smoothing = 0.0);

}  // namespace vlm
