#include "vlm/losses/encouraging.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/gather.h>
#include <ATen/ops/log.h>
#include <ATen/ops/where.h>

#include <cmath>
#include <mutex>

#include "vlm/core/error.h"
#include "vlm/core/log.h"

namespace vlm {

namespace encouraging {

Tensor bonus(const Tensor& p, double log_end) {
  const Tensor curve = at::log(at::clamp(1 - p, 1e-5));
  if (log_end == 1) return curve;
  return at::where(p > log_end, (p - log_end) / (log_end - 1) + std::log(1 - log_end), curve);
}

}  // namespace encouraging

SequenceLoss encouraging_loss(const Tensor& logits, const SequenceTargets& targets, const EncouragingOptions& options, int64_t update_num) {
  if (!(options.log_end > 0 && options.log_end <= 1)) fail_usage("log_end is ", options.log_end, "; it must be above 0 and at most 1");
  if (options.drop_best_ratio > 0) {
    static std::once_flag warned;
    std::call_once(warned, [] { log_warning("drop_best_ratio has no effect on the encouraging loss, as in the reference"); });
  }
  SequenceLoss out = label_smoothed_cross_entropy(logits, targets, options.criterion, update_num);
  const double smoothing = options.criterion.label_smoothing;
  const Tensor p = at::exp(log_probabilities_of(out.kept, logits, targets, options.criterion));  // [n, V]
  const Tensor bonus = encouraging::bonus(p, options.log_end);
  const Tensor right = bonus.gather(1, targets.ids.flatten().index_select(0, out.kept).unsqueeze(1));
  out.loss = out.loss + right.sum() * (1 - smoothing);
  if (smoothing > 0) out.loss = out.loss + bonus.sum() * (smoothing / static_cast<double>(p.size(1)));
  return out;
}

}  // namespace vlm
