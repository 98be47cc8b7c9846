#pragma once
/// Retrieval in two stages (ALBEF, arXiv 2107.07651; specs: alignment, 3.3; mplug, 3.3): cosines choose k candidates for each picture
/// and each text, a matching head that reads both scores them.

#include <ATen/core/Tensor.h>

#include <functional>

namespace vlm {

using at::Tensor;

/// The scores of pairs: pictures and texts [n], int64, numbers of rows. Returns [n].
using ScorePairs = std::function<Tensor(const Tensor& pictures, const Tensor& texts)>;

struct RerankOptions {
  int64_t k = 128;          ///< candidates; at most as many as there are
  int64_t batch = 64;       ///< pairs that are scored at a time
  double others = -100;     ///< the score of what is no candidate
  bool add_similarity = false;  ///< the cosine is added to the score of a pair (videos)
};

struct RerankedScores {
  Tensor i2t;  ///< [N, M]: for each picture the scores of its candidates among the texts
  Tensor t2i;  ///< [M, N]
};

/// similarities: [N, M], of pictures and texts.
RerankedScores rerank_by_matching(const Tensor& similarities, const ScorePairs& score, const RerankOptions& options = {});

}  // namespace vlm
