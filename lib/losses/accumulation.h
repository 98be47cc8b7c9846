#pragma once
/// Contrastive batches larger than memory: features of all micro-batches first, gradients of one micro-batch at a time
/// (specs: clip, 14, accum_freq).

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

namespace vlm {

using at::Tensor;

struct PairedFeatures {
  Tensor image, text;  ///< [B, E], unit length
};

/// Computes the features of every micro-batch without gradient, then for each one its features again, with gradient, in
/// their place among the cached others, the loss over all rows, and backward(). Leaves the gradients of the whole batch on
/// the weights behind `embed`, undivided; what `loss` itself depends on (the temperature) gets `micro_batches` times its
/// gradient, as it takes part in every pass. `embed` must give the same features both times: dropout off, or replayed.
/// Returns the loss of each pass; all are the loss of the whole batch up to rounding.
std::vector<Tensor> accumulate_contrastive(int64_t micro_batches, const std::function<PairedFeatures(int64_t)>& embed,
                                           const std::function<Tensor(const PairedFeatures&)>& loss);

}  // namespace vlm
