#pragma once
/// How likely the right tokens are, and all others: what losses of sequences are made of.
///
/// With V of sixty thousand the logits are the largest tensor of a step. One tensor of their size is kept for the gradient,
/// and one more is made in it; composed of single operators it would be twice as many.

#include <ATen/core/Tensor.h>

namespace vlm {

using at::Tensor;

struct TokenLikelihood {
  Tensor nll;     ///< [N]: -log p of the right token
  Tensor smooth;  ///< [N]: -sum of log p over all tokens that are allowed; undefined where it was not asked for
};

/// logits: [N, V], p their softmax, computed in float32 at least; ids: [N], int64, each from 0 to V - 1. allowed: [V] or [N, V],
/// bool, which tokens count in `smooth`; undefined: all. Can be differentiated once, by the logits.
TokenLikelihood token_likelihood(const Tensor& logits, const Tensor& ids, const Tensor& allowed = {}, bool with_smooth = true);

}  // namespace vlm
