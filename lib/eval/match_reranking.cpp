#include "vlm/eval/match_reranking.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/topk.h>

#include "vlm/core/error.h"

namespace vlm {

namespace match_reranking {

/// Rows look for columns; `pair(row, column)` scores.
Tensor one_way(const Tensor& similarities, const ScorePairs& pair, const RerankOptions& options, const char* what) {
  const int64_t rows = similarities.size(0), columns = similarities.size(1);
  if (options.k < 1 || options.k > columns) fail_usage("of ", columns, " ", what, " ", options.k, " cannot be candidates");
  if (options.batch < 1) fail_usage("pairs must be scored at least one at a time, not ", options.batch);
  const auto [best, chosen] = at::topk(similarities, options.k, 1);                                   // [rows, k]
  const Tensor row = at::arange(rows, chosen.options()).repeat_interleave(options.k), column = chosen.reshape(-1);
  Tensor out = at::full({rows * columns}, options.others, similarities.options());
  for (int64_t at = 0; at < row.size(0); at += options.batch) {
    const Tensor r = row.slice(0, at, at + options.batch), c = column.slice(0, at, at + options.batch);
    Tensor scores = pair(r, c).to(out.scalar_type());
    if (options.add_similarity) scores = scores + best.reshape(-1).slice(0, at, at + options.batch);
    out.index_copy_(0, r * columns + c, scores);
  }
  return out.view({rows, columns});
}

}  // namespace match_reranking

RerankedScores rerank_by_matching(const Tensor& similarities, const ScorePairs& score, const RerankOptions& options) {
  RerankedScores out;
  out.i2t = match_reranking::one_way(similarities, score, options, "texts");
  out.t2i = match_reranking::one_way(similarities.t(), [&](const Tensor& text, const Tensor& picture) { return score(picture, text); }, options, "pictures");
  return out;
}

}  // namespace vlm
