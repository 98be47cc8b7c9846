#include "vlm/losses/scst.h"

#include <ATen/TensorOperators.h>

#include "vlm/core/error.h"

namespace vlm {

Tensor scst_reward(const Tensor& scores, int64_t samples) {
  if (scores.dim() != 1 || samples < 2 || scores.size(0) % samples) {
    fail("self-critical training compares at least two texts a picture, equally many of each; there are ", scores.sizes(), " scores at ",
         samples, " a picture");
  }
  const Tensor table = scores.detach().to(at::kDouble).view({-1, samples});
  const Tensor others = (table.sum(1, true) - table) / static_cast<double>(samples - 1);
  return (table - others).flatten();
}

SequenceLoss scst_loss(const Tensor& logits, const Tensor& targets, const Tensor& reward, const LabelSmoothedCrossEntropyOptions& options) {
  if (reward.dim() != 1 || targets.dim() != 2 || reward.size(0) != targets.size(0)) {
    fail("scst_loss takes one reward for each row of the targets ", targets.sizes(), ", not ", reward.sizes());
  }
  LabelSmoothedCrossEntropyOptions plain;
  plain.constraint_range = options.constraint_range;
  plain.ignore_prefix_size = options.ignore_prefix_size;
  plain.sentence_avg = options.sentence_avg;
  plain.pad_id = options.pad_id;
  // A weight of log-probabilities, which is what conf is.
  return label_smoothed_cross_entropy(logits, {targets, reward.detach(), {}}, plain);
}

Tensor scst_beam_loss(const Tensor& scores, const Tensor& lengths, const Tensor& rewards) {
  if (scores.dim() != 2 || scores.sizes() != lengths.sizes() || scores.sizes() != rewards.sizes()) {
    fail("scst_beam_loss takes scores, lengths and rewards [B, K] of one shape, not ", scores.sizes(), ", ", lengths.sizes(), " and ", rewards.sizes());
  }
  const Tensor constant = rewards.detach().to(scores.scalar_type());
  return -(scores / lengths.to(scores.scalar_type()) * (constant - constant.mean(1, true))).mean();
}

}  // namespace vlm
