#include "vlm/infer/rerank.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/topk.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <vector>

#include "vlm/core/error.h"

namespace vlm {

Tensor rerank(Reranker& model, const Tensor& pictures, const Tensor& texts, const Tensor& mask, const Tensor& similarities, RerankRows rows,
              const RerankOptions& options) {
  const bool by_picture = rows == RerankRows::pictures;
  const int64_t n = similarities.size(0), m = similarities.size(1), k = std::min(options.k, m);
  if (n != (by_picture ? pictures : texts).size(0) || m != (by_picture ? texts : pictures).size(0)) {
    fail("similarities of ", n, " x ", m, " do not belong to ", pictures.size(0), " pictures and ", texts.size(0), " texts");
  }
  if (k < 1) fail_usage("at least one of each row has to be looked at again, not ", options.k);
  const at::NoGradGuard no_grad;
  const auto [best, columns] = at::topk(similarities, k, 1);                                        // [n, k]
  const Tensor column = columns.reshape({-1}), row = at::arange(n, column.options()).repeat_interleave(k);
  std::vector<Tensor> logits;
  for (int64_t at = 0; at < column.size(0); at += options.chunk) {
    const Tensor r = row.slice(0, at, at + options.chunk), c = column.slice(0, at, at + options.chunk);
    const Tensor picture = pictures.index_select(0, by_picture ? r : c), number = by_picture ? c : r;
    const Tensor visible = mask.defined() ? mask.index_select(0, number) : Tensor();
    logits.push_back(model.match_logits(picture, texts.index_select(0, number), visible).select(1, 1).to(at::kFloat));
  }
  Tensor score = at::cat(logits).view({n, k});
  if (options.add_similarity) score = score + best;
  return at::full({n, m}, -100.0, score.options()).scatter_(1, columns, score);
}

}  // namespace vlm
