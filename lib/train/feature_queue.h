#pragma once
/// Queues of features of earlier batches, which losses contrast against (MoCo, arXiv 1911.05722; specs: alignment, 2.6; mplug, 2).

#include <ATen/core/Tensor.h>

#include "vlm/train/communicator.h"

namespace vlm {

using at::Tensor;

/// The buffers of a model, which lie on one device and are written in place.
struct FeatureQueues {
  Tensor image, text;  ///< [d, Q]; a column a feature
  Tensor idx;          ///< [1, Q], int64: the pictures' numbers; undefined where nobody asks
  Tensor pointer;      ///< [1], int64: the column that is written next
};

/// Column (pointer + j) mod Q becomes row j, for j = 0 .. B - 1, and the pointer moves on by B; so B need not divide Q.
/// image, text: [B, d], of all ranks in their order; idx: [B], int64, if the queues keep numbers. No graph is kept. Throws if the
/// batch is larger than the queue, or shapes do not fit; nothing is changed then.
void enqueue_features(const FeatureQueues& queues, const Tensor& image, const Tensor& text, const Tensor& idx = {});

/// The same with what each rank has, [B_r, d] and [B_r], gathered first, so that the queues of all ranks stay alike.
void enqueue_over_ranks(Communicator& communicator, const FeatureQueues& queues, const Tensor& image, const Tensor& text, const Tensor& idx = {});

}  // namespace vlm
