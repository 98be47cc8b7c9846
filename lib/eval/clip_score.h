#pragma once
/// CLIPScore and RefCLIPScore (arXiv 2104.08718; specs: eval, 9).

#include <ATen/core/Tensor.h>

#include <string>

namespace vlm {

using at::Tensor;

/// What a candidate is prefixed with before it is encoded.
inline constexpr char kClipScorePrefix[] = "A photo depicts ";

struct ClipScores {
  Tensor clipscore;             ///< [N]: w max(0, cosine of picture and candidate)
  Tensor reference_similarity;  ///< [N]: the largest cosine of candidate and one of its references; undefined without references
  Tensor refclipscore;          ///< [N]: harmonic mean of the two (the first with its w in it); 0 where the first is 0
  double mean_clipscore = 0, mean_refclipscore = 0;
};

/// image, candidate: [N, E], of any length. reference: [M, E] and reference_of: [M] int64, the item of each; or undefined.
/// Throws if an item has no reference.
ClipScores clip_scores(const Tensor& image, const Tensor& candidate, const Tensor& reference = {}, const Tensor& reference_of = {},
                       double w = 2.5);

}  // namespace vlm
