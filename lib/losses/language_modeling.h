#pragma once
/// Losses of decoders that predict the next token.

#include <ATen/core/Tensor.h>

namespace vlm {

using at::Tensor;

/// Cross entropy of logits[:, :-1] against labels[:, 1:], the mean over labels that are not `ignore`.
/// logits: [B, L, V], labels: [B, L], int64. label_smoothing spreads that share of the target over all V ids evenly
/// (Szegedy et al., arXiv 1512.00567).
Tensor next_token_loss(const Tensor& logits, const Tensor& labels, int64_t ignore = -100, double label_smoothing = 0.0);

}  // namespace vlm
