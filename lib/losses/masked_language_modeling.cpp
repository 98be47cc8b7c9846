#include "vlm/losses/masked_language_modeling.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/nonzero.h>
#include <ATen/ops/softmax.h>

#include <algorithm>

#include "vlm/core/error.h"
#include "vlm/losses/token_likelihood.h"

namespace vlm {

Tensor masked_language_modeling_loss(const Tensor& logits, const Tensor& labels, const Tensor& logits_m,
                                     const MaskedLanguageModelingOptions& options) {
  if (logits.dim() != 3 || labels.dim() != 2 || logits.size(0) != labels.size(0) || logits.size(1) != labels.size(1)) {
    fail("masked language modelling takes logits [B, L, V] and labels [B, L], not ", logits.sizes(), " and ", labels.sizes());
  }
  if (!(options.alpha >= 0 && options.alpha <= 1)) fail("alpha, the share of the momentum network's targets, lies in 0 .. 1, not ", options.alpha);
  const bool distilled = options.alpha > 0;
  if (distilled && (!logits_m.defined() || logits_m.sizes() != logits.sizes())) {
    fail("with alpha ", options.alpha, " the momentum network's logits are needed, as large as the model's ", logits.sizes());
  }
  const Tensor flat_labels = labels.reshape({-1});
  const Tensor masked = at::nonzero(flat_labels.ne(options.ignore)).squeeze(1);  // [n]
  const auto count = static_cast<double>(std::max<int64_t>(1, masked.size(0)));
  const auto chosen = [&](const Tensor& scores) { return scores.reshape({-1, scores.size(2)}).index_select(0, masked); };  // [n, V]

  const Tensor rows = chosen(logits);
  const Tensor hard = token_likelihood(rows, flat_labels.index_select(0, masked), {}, /*with_smooth=*/false).nll.sum() / count;
  if (!distilled) return hard;
  const Tensor log_p = options.axis == DistillAxis::sequence ? chosen(at::log_softmax(logits, 1)) : at::log_softmax(rows, 1);
  const Tensor soft = -(at::softmax(chosen(logits_m.detach()), 1) * log_p).sum() / count;
  return (1 - options.alpha) * hard + options.alpha * soft;
}

}  // namespace vlm
