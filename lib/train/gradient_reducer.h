#pragma once
/// Averages gradients over ranks while the backward pass still runs: gradients are packed into buckets in the order in which
/// they become ready, and a full bucket is on its way at once (Li et al., arXiv 2006.15704).

#include <memory>
#include <vector>

#include "vlm/models/interfaces.h"
#include "vlm/train/communicator.h"

namespace vlm {

class GradientReducer {
 public:
  /// The same parameters in the same order on every rank. `bucket_mb`: size of a bucket, in 10^6 bytes.
  GradientReducer(Communicator& communicator, const std::vector<NamedTensor>& parameters, double bucket_mb = 25);
  ~GradientReducer();
  GradientReducer(const GradientReducer&) = delete;
  GradientReducer& operator=(const GradientReducer&) = delete;

  /// Call before the backward pass after which the gradients are to be averaged: the last one of a step. Passes before it
  /// only add up on their own rank.
  void begin();
  /// Call after it. Every gradient is then the mean over ranks; a parameter that no rank used has none. A pass may add to a
  /// gradient more than once (recomputed or shared layers): how often is learnt from the first pass, and a pass that adds
  /// later than expected costs a second round.
  void finish();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace vlm
