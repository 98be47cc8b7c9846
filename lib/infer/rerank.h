#pragma once
/// Search in two stages: cosines choose, the matching head looks again (ALBEF, arXiv 2107.07651; specs: alignment, 3.5).

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "vlm/models/reranker.h"

namespace vlm {

struct RerankOptions {
  int64_t k = 128;              ///< so many of each row are looked at again; at most all
  int64_t chunk = 64;           ///< pairs in one pass
  bool add_similarity = false;  ///< the cosine is added to the logit
};

/// Which of the two the rows of similarities are.
enum class RerankRows { pictures, texts };

/// similarities: [n, m]. Returns [n, m], float32: for the k largest of each row the logit of "match" (not a probability), -100 for all
/// others. pictures, texts: of Reranker::match_pictures() and match_texts(); mask: [texts, L]. Without gradients.
Tensor rerank(Reranker& model, const Tensor& pictures, const Tensor& texts, const Tensor& mask, const Tensor& similarities, RerankRows rows,
              const RerankOptions& options = {});

}  // namespace vlm
