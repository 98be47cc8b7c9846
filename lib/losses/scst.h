#pragma once
/// Self-critical sequence training (arXiv 1612.00563; specs: ofa, 6.4; objectives, 3.4; mplug,
/// 3.1): captions that a model wrote become more
/// likely if they score better than its other captions of the same picture.

#include "vlm/losses/label_smoothed_cross_entropy.h"

namespace vlm {

/// scores: [R], those of a picture's `samples` texts one after the other. Returns [R], double: r_i minus the mean of the
/// other scores of its picture. Throws if a picture has a single text, or the last one fewer than the others.
Tensor scst_reward(const Tensor& scores, int64_t samples);

/// - sum of reward_b log p(token) over the tokens that are no padding, the end included. logits: [R, T, V]; targets: [R, T],
/// int64; reward: [R], a constant. Of the options: constraint_range, ignore_prefix_size, sentence_avg and pad_id.
SequenceLoss scst_loss(const Tensor& logits, const Tensor& targets, const Tensor& reward,
                       const LabelSmoothedCrossEntropyOptions& options = {});

/// mPLUG's: the hypotheses of a beam search, of which the scores are differentiated: - mean over all of score / length times
/// (reward - the mean reward of the K of the same picture). scores: [B, K], normalised by length as the search has them; lengths:
/// [B, K], ids with begin and end; rewards: [B, K], constants. A scalar.
Tensor scst_beam_loss(const Tensor& scores, const Tensor& lengths, const Tensor& rewards);

}  // namespace vlm
