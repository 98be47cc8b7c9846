#pragma once
/// The contrastive loss of a rank, of which no more than a strip of scores exists at a time (arXiv 2103.00020, figure 3;
/// specs: clip, 12.1, local_loss and gather_with_grad).

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace vlm {

using at::Tensor;

struct ContrastiveBlockOptions {
  /// Rows of scores that exist at a time: memory is block_rows x columns, in the backward pass too.
  int64_t block_rows = 1024;
  /// That share of the target is spread over all columns evenly (specs: clip, 12.5).
  double label_smoothing = 0;
};

/// The mean over this rank's rows of ½ (CE(s I T_allᵀ + b) + CE(s T I_allᵀ + b)), in nats. Weighed by their rows, the losses
/// of all ranks have the mean contrastive_loss() of the whole batch, and its gradient if the gathered rows have gradients.
///
/// image, text: [B, E], this rank's, unit length; all_image, all_text: [N, E], those of all ranks in rank order, in which
/// this rank's rows begin at `first_row` (with one rank: the same tensors and 0). logit_scale: scalar, already
/// exponentiated; logit_bias: scalar or undefined.
/// row_groups: [B] and column_groups: [N], int64, or both undefined: columns of a row's group are its positives, the target
/// spread evenly over them. Numbers mean the same on every rank.
/// Returns a scalar that can be differentiated once. Throws if shapes do not fit together.
Tensor contrastive_loss_in_blocks(const Tensor& image, const Tensor& text, const Tensor& all_image, const Tensor& all_text,
                                  const Tensor& logit_scale, const Tensor& logit_bias, int64_t first_row,
                                  const ContrastiveBlockOptions& options = {}, const Tensor& row_groups = {},
                                  const Tensor& column_groups = {});

}  // namespace vlm
