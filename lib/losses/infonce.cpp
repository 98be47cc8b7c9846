#include "vlm/losses/infonce.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/matmul.h>

#include "vlm/core/error.h"

namespace vlm {

Tensor infonce_loss(const Tensor& image, const Tensor& text, const Tensor& logit_scale, double label_smoothing) {
  if (image.dim() != 2 || image.sizes() != text.sizes()) {
    fail("InfoNCE needs as many pictures as texts, of the same width: got ", image.sizes(), " and ", text.sizes());
  }
  if (!(label_smoothing >= 0 && label_smoothing <= 1)) fail("label_smoothing lies in 0 .. 1, not ", label_smoothing);
  const Tensor logits = logit_scale * at::matmul(image, text.t());  // [B, B]
  const Tensor labels = at::arange(image.size(0), image.options().dtype(at::kLong));
  const auto entropy = [&](const Tensor& rows) { return at::cross_entropy_loss(rows, labels, {}, at::Reduction::Mean, -100, label_smoothing); };
  return (entropy(logits) + entropy(logits.t())) / 2;
}

}  // namespace vlm
