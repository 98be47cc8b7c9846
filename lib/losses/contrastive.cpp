#include "vlm/losses/contrastive.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/matmul.h>

#include "vlm/core/error.h"

namespace vlm {

namespace contrastive {

Tensor similarity(const Tensor& a, const Tensor& b, const Tensor& scale, const Tensor& bias) {
  const Tensor logits = scale * at::matmul(a, b.t());
  return bias.defined() ? logits + bias : logits;
}

void check_pairs(const Tensor& image, const Tensor& text) {
  if (image.dim() != 2 || image.sizes() != text.sizes()) {
    fail("a contrastive loss needs as many pictures as texts, of the same width: got ", image.sizes(), " and ", text.sizes());
  }
}

}  // namespace contrastive

Tensor contrastive_loss(const Tensor& image, const Tensor& text, const Tensor& logit_scale, const Tensor& logit_bias, const Tensor& groups) {
  contrastive::check_pairs(image, text);
  const Tensor logits = contrastive::similarity(image, text, logit_scale, logit_bias);  // [B, B]
  if (groups.defined()) {
    const Tensor same = groups.unsqueeze(0).eq(groups.unsqueeze(1)).to(logits.scalar_type());
    const Tensor target = same / same.sum(1, true);                                     // [B, B], symmetric up to the rows' sums
    const auto soft = [&](const Tensor& scores) { return -(target * at::log_softmax(scores, 1)).sum(1).mean(); };
    return (soft(logits) + soft(logits.t())) / 2;
  }
  const Tensor labels = at::arange(image.size(0), image.options().dtype(at::kLong));
  return (at::cross_entropy_loss(logits, labels) + at::cross_entropy_loss(logits.t(), labels)) / 2;
}

Tensor contrastive_loss_on_rank(const Tensor& image, const Tensor& text, const Tensor& all_image, const Tensor& all_text,
                                const Tensor& logit_scale, const Tensor& logit_bias, int64_t rank, const ContrastiveOptions& options) {
  if (!options.local_loss) return contrastive_loss(all_image, all_text, logit_scale, logit_bias);
  const int64_t rows = image.size(0);
  const Tensor labels = at::arange(rows * rank, rows * (rank + 1), image.options().dtype(at::kLong));
  const auto logits = contrastive_logits_on_rank(image, text, all_image, all_text, logit_scale, logit_bias, options);
  return (at::cross_entropy_loss(logits.per_image, labels) + at::cross_entropy_loss(logits.per_text, labels)) / 2;
}

ContrastiveLogits contrastive_logits_on_rank(const Tensor& image, const Tensor& text, const Tensor& all_image, const Tensor& all_text,
                                             const Tensor& logit_scale, const Tensor& logit_bias, const ContrastiveOptions& options) {
  contrastive::check_pairs(image, text);
  if (!options.local_loss) {
    const Tensor logits = contrastive::similarity(all_image, all_text, logit_scale, logit_bias);
    return {logits, logits.t()};
  }
  return {contrastive::similarity(image, all_text, logit_scale, logit_bias),
          contrastive::similarity(text, all_image, logit_scale, logit_bias)};
}

Tensor gather_shards(const std::vector<Tensor>& shards, int64_t rank, const ContrastiveOptions& options) {
  std::vector<Tensor> rows;
  for (size_t r = 0; r < shards.size(); ++r) {
    if (shards[r].sizes() != shards[0].sizes()) {
      fail("ranks hold batches of different shape (", shards[0].sizes(), " on rank 0, ", shards[r].sizes(), " on rank ", r,
           "); a contrastive batch must be split evenly");
    }
    const bool own = static_cast<int64_t>(r) == rank && !options.local_loss;
    rows.push_back(options.gather_with_grad || own ? shards[r] : shards[r].detach());
  }
  return at::cat(rows);
}

}  // namespace vlm
