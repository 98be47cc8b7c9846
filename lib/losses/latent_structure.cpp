#include "vlm/losses/latent_structure.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/log.h>
#include <ATen/ops/matmul.h>

#include <initializer_list>

#include "vlm/core/error.h"
#include "vlm/losses/unit_rows.h"

namespace vlm {

namespace latent_structure {

void check(std::initializer_list<const Tensor*> features) {
  const Tensor& first = **features.begin();
  for (const Tensor* x : features) {
    if (x->dim() != 2 || x->sizes() != first.sizes()) fail("the features of a batch all have one shape [N, d]: got ", first.sizes(), " and ", x->sizes());
  }
}

Tensor squared(const Tensor& x) { return x * x; }

Tensor gram(const Tensor& x) { return at::matmul(x, x.t()); }

/// sum over ordered pairs of exp(-t |x_j - x_k|²).
Tensor closeness(const Tensor& x, double t) {
  const Tensor norms = squared(x).sum(1);
  return at::exp((norms.unsqueeze(1) + norms.unsqueeze(0) - 2 * gram(x)) * -t).sum();
}

}  // namespace latent_structure

Tensor row_contrast(const Tensor& anchors, const Tensor& others, const Tensor& temp) {
  latent_structure::check({&anchors, &others});
  const Tensor labels = at::arange(anchors.size(0), anchors.options().dtype(at::kLong));
  return at::cross_entropy_loss(at::matmul(anchors, others.t()) / temp, labels);
}

Tensor LatentContrast::loss() const { return (v2t + t2v + v2v + t2t) / 4; }

LatentContrast latent_contrast(const Tensor& image, const Tensor& text, const Tensor& image_aug, const Tensor& text_aug, const Tensor& temp) {
  return {row_contrast(image, text, temp), row_contrast(text, image, temp), row_contrast(image, image_aug, temp),
          row_contrast(text, text_aug, temp)};
}

Tensor FeatureSeparation::loss() const { return orthogonal + contrast + uniform; }

FeatureSeparation feature_separation(const Tensor& image, const Tensor& text, const Tensor& image_ind, const Tensor& text_ind,
                                     const Tensor& image_ind_aug, const Tensor& text_ind_aug, const Tensor& temp, double uniformity_t) {
  using namespace latent_structure;
  check({&image, &text, &image_ind, &text_ind, &image_ind_aug, &text_ind_aug});
  FeatureSeparation out;
  out.orthogonal = (squared((image * image_ind).sum(1)) + squared((text * text_ind).sum(1))).mean();
  out.contrast = row_contrast(image_ind, image_ind_aug, temp) + row_contrast(text_ind, text_ind_aug, temp);
  const auto n = static_cast<double>(image.size(0));
  out.uniform = at::log((closeness(image_ind, uniformity_t) + closeness(text_ind, uniformity_t)) / n);
  return out;
}

Tensor BrownianBridge::loss() const { return row_loss.mean(); }

BrownianBridge brownian_bridge(const Tensor& image, const Tensor& text, const Tensor& image_aug, double t) {
  latent_structure::check({&image, &text, &image_aug});
  if (!(t >= 0 && t <= 1)) fail("a bridge from text to picture is asked at a time of 0 .. 1, not ", t);
  BrownianBridge out;
  out.mean = unit_rows(t * image + (1 - t) * text);
  out.row_loss = latent_structure::squared(image_aug - out.mean).sum(1);
  return out;
}

Tensor GeometricConsistency::loss() const { return original + augmented; }

GeometricConsistency geometric_consistency(const Tensor& image, const Tensor& text, const Tensor& image_aug, const Tensor& text_aug) {
  using namespace latent_structure;
  check({&image, &text, &image_aug, &text_aug});
  const auto n = static_cast<double>(image.size(0));
  const Tensor across = at::matmul(image, text.t()), images = gram(image), texts = gram(text);
  const Tensor pairs = (image * text).sum(1), pairs_aug = (image_aug * text_aug).sum(1);
  GeometricConsistency out;
  out.original = (squared(across - across.t()) + squared(images - texts)).sum() / n;
  out.augmented = (squared(images - gram(image_aug)) + squared(texts - gram(text_aug))).sum() / n + squared(pairs - pairs_aug).sum() / n;
  return out;
}

}  // namespace vlm
