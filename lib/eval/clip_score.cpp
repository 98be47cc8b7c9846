#include "vlm/eval/clip_score.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_vector_norm.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "vlm/core/error.h"

namespace vlm {

namespace clip_score {

Tensor unit(const Tensor& x) {
  const Tensor wide = x.detach().to(at::kFloat).cpu();
  return (wide / at::linalg_vector_norm(wide, 2, at::IntArrayRef{-1}, true)).contiguous();
}

}  // namespace clip_score

ClipScores clip_scores(const Tensor& image, const Tensor& candidate, const Tensor& reference, const Tensor& reference_of, double w) {
  if (image.dim() != 2 || image.sizes() != candidate.sizes() || image.size(0) == 0) {
    fail("CLIPScore needs as many pictures as candidates, of the same width: got ", image.sizes(), " and ", candidate.sizes());
  }
  ClipScores out;
  const Tensor captions = clip_score::unit(candidate);
  out.clipscore = ((clip_score::unit(image) * captions).sum(1).clamp_min(0) * w).contiguous();
  out.mean_clipscore = out.clipscore.mean().item<double>();
  if (!reference.defined()) return out;
  const int64_t count = image.size(0), width = image.size(1);
  if (reference.dim() != 2 || reference.size(1) != width || reference_of.dim() != 1 || reference_of.size(0) != reference.size(0)) {
    fail("CLIPScore: references ", reference.sizes(), " and their items ", reference_of.sizes(), " do not fit candidates ", candidate.sizes());
  }
  const Tensor references = clip_score::unit(reference), items = reference_of.to(at::kLong).cpu().contiguous();
  out.reference_similarity = at::full({count}, -std::numeric_limits<float>::infinity());
  out.refclipscore = at::empty({count});
  float* best = out.reference_similarity.mutable_data_ptr<float>();
  for (int64_t r = 0; r < references.size(0); ++r) {
    const int64_t item = items.const_data_ptr<int64_t>()[r];
    if (item < 0 || item >= count) fail("CLIPScore: reference ", r, " belongs to item ", item, " of ", count);
    best[item] = std::max(best[item], captions[item].dot(references[r]).item<float>());
  }
  for (int64_t i = 0; i < count; ++i) {
    if (std::isinf(best[i])) fail("CLIPScore: item ", i, " has no reference caption");
    const float a = out.clipscore.const_data_ptr<float>()[i], b = best[i];
    out.refclipscore.mutable_data_ptr<float>()[i] = a == 0 ? 0 : 2 * a * b / (a + b);
  }
  out.mean_refclipscore = out.refclipscore.mean().item<double>();
  return out;
}

}  // namespace vlm
