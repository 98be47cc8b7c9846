#pragma once
/// The loss of CoCa: contrastive and captioning, weighted (arXiv 2205.01917, eq. 4; specs: clip, 12.3).

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace vlm {

using at::Tensor;

struct CocaOptions {
  double clip_loss_weight = 1.0;     ///< 0: the contrastive part is not computed
  double caption_loss_weight = 2.0;
  int64_t pad_id = 0;                ///< labels with this id do not count
};

/// Both parts carry their weight; their sum is the loss.
struct CocaLoss {
  Tensor contrastive, caption;
  Tensor total() const;
};

/// Cross entropy of the next token, mean over the positions whose label is not `pad_id` (NaN where there is none).
/// logits: [B, L, V]; labels: [B, L] int64.
Tensor caption_loss(const Tensor& logits, const Tensor& labels, int64_t pad_id = 0);

/// contrastive: what contrastive_loss() or contrastive_loss_on_rank() gave, undefined if its weight is 0. The captioning
/// part of a rank is its own.
CocaLoss coca_loss(const Tensor& contrastive, const Tensor& logits, const Tensor& labels, const CocaOptions& options = {});

}  // namespace vlm
