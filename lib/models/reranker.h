#pragma once
/// A matcher for many pairs of the same pictures and texts, each of which is encoded once: search that is looked over again
/// (infer/rerank.h).

#include "vlm/models/generator.h"

namespace vlm {

class Reranker : public Matcher {
 public:
  /// pixels: [B, 3, H, W]. What match_logits() takes of them: [B, …].
  virtual Tensor match_pictures(const Tensor& pixels) = 0;
  /// ids, mask: [B, L]. What match_logits() takes of them: [B, L] or [B, L, D].
  virtual Tensor match_texts(const Tensor& ids, const Tensor& mask) = 0;
  /// Unit vectors [B, E] of pictures as match_pictures() gave them, to be compared with those of texts (DualEncoder).
  virtual Tensor embed_matched(const Tensor& pictures) = 0;
  /// Logits of "no match" and "match" for each pair: [B, 2].
  virtual Tensor match_logits(const Tensor& pictures, const Tensor& texts, const Tensor& mask) = 0;
};

}  // namespace vlm
