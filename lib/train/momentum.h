#pragma once
/// Momentum networks: copies of a model's parts that follow slowly and teach it (MoCo, arXiv 1911.05722; specs: alignment, 2).

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace vlm {

using at::Tensor;

/// A tensor of the network that learns and its counterpart, which takes no gradient.
struct MomentumPair {
  Tensor online, momentum;
};

/// momentum <- m momentum + (1 - m) online, in place and without a graph. Counterparts that share memory (tied weights under two
/// names) move once. Throws if a pair differs in shape or m lies outside 0 .. 1; nothing is changed then.
void momentum_update(const std::vector<MomentumPair>& pairs, double m);

/// Counterparts become copies, as at construction.
void momentum_copy(const std::vector<MomentumPair>& pairs);

/// alpha, the share of the momentum networks' targets, at a step (from 0): in the first epoch it grows, alpha min(1, step / steps in
/// an epoch); with steps_per_epoch 0 there is no ramp.
double distillation_share(double alpha, int64_t step, int64_t steps_per_epoch);

}  // namespace vlm
