#pragma once
/// The loss of a decoder that writes boxes as words (mPLUG's grounding; specs: mplug, 3.4): cross entropy of each coordinate's bin,
/// weighed by how far off the likeliest box is.

#include <ATen/core/Tensor.h>

namespace vlm {

using at::Tensor;

struct BoxTokenLossOptions {
  int64_t first = 345;      ///< the word of bin 0
  int64_t bins = 336;       ///< a share of the picture is (word - first) / bins
  double max_l1 = 5;        ///< weights by coordinates lie in 0 … max_l1
  bool own_weights = false; ///< false: every row is weighed by all rows' weights, as the reference's shapes make it; true: by its own
};

struct BoxTokenLoss {
  Tensor loss;         ///< scalar
  Tensor token_loss;   ///< [B, 4], in nats
  Tensor boxes;        ///< [B, 4]: the likeliest bins as shares, a constant like the weights
  Tensor weight_l1;    ///< [B, 4]: |boxes - target|
  Tensor weight_giou;  ///< [B]: 1 - GIoU(boxes, target)
};

/// logits: [B, 5, V], those at place t are for the id at t + 1; words that are no bin are ruled out already. ids: [B, 5], int64: what
/// stands in front of a box, and its four bins. target: [B, 4], cx cy w h, in shares of the picture.
///
///   loss = 1 / (4 B²) sum_a sum_b sum_c token_loss[a, c] weight_l1[b, c] weight_giou[b]
///   (own_weights: 1 / (4 B) sum_a sum_c token_loss[a, c] weight_l1[a, c] weight_giou[a])
BoxTokenLoss box_token_loss(const Tensor& logits, const Tensor& ids, const Tensor& target, const BoxTokenLossOptions& options = {});

}  // namespace vlm
