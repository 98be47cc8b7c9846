#pragma once
/// Encouraging loss (Zhao et al., arXiv 2110.06537; specs: ofa, 6.3): cross entropy with a bonus for tokens that are already
/// likely, which cross entropy itself hardly rewards.

#include "vlm/losses/label_smoothed_cross_entropy.h"

namespace vlm {

struct EncouragingOptions {
  LabelSmoothedCrossEntropyOptions criterion;
  double log_end = 0.75;        ///< from this probability on the bonus goes on along its tangent; 1: never
  double drop_best_ratio = 0;   ///< accepted and without effect, as in the reference
  int64_t drop_best_after = 0;  ///< likewise

  void fields(Fields& f) {
    criterion.fields(f);
    f.field("log_end", log_end, "probability from which on the bonus grows along a line; 1: never");
    f.field("drop_best_ratio", drop_best_ratio, "without effect, as in the reference; for its recipes");
    f.field("drop_best_after", drop_best_after, "likewise");
  }
};

/// label_smoothed_cross_entropy() plus, over the tokens that count, with e = label_smoothing and p their probabilities,
///
///   (1 - e) bonus(p_right) + e / V sum over all tokens of bonus(p),   bonus(p) = log max(1 - p, 1e-5) or its tangent from log_end on.
///
/// Warns once if drop_best_ratio is set.
SequenceLoss encouraging_loss(const Tensor& logits, const SequenceTargets& targets, const EncouragingOptions& options = {},
                              int64_t update_num = 0);

}  // namespace vlm
