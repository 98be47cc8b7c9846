#include "vlm/losses/sigmoid.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softplus.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>

#include "vlm/core/error.h"
#include "vlm/losses/known_gradient.h"

namespace vlm {

namespace sigmoid_pairs {

/// Sum over one block of pairs, not yet divided. Each chunk of scores gives its part of the value and of the gradients and
/// is gone: the scores of a large batch would be by far the largest thing that a step keeps.
Tensor block(const Tensor& image, const Tensor& text, const Tensor& scale, const Tensor& bias, bool positives, int64_t chunk_rows) {
  const bool differentiable = wants_gradient(image) || wants_gradient(text) || wants_gradient(scale) || wants_gradient(bias);
  const auto type = image.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const auto wide = image.options().dtype(type).requires_grad(false);
  Tensor value = at::zeros({}, wide), image_gradient, text_gradient, scale_gradient = at::zeros({}, wide), bias_gradient = at::zeros({}, wide);
  {
    const at::NoGradGuard no_graph;
    if (differentiable) image_gradient = at::zeros_like(image, wide), text_gradient = at::zeros_like(text, wide);
    const int64_t rows = image.size(0);
    for (int64_t first = 0; first < rows; first += chunk_rows) {
      const int64_t count = std::min(chunk_rows, rows - first);
      const Tensor part = image.narrow(0, first, count);
      const Tensor cosines = at::matmul(part, text.t()).to(type);  // [count, B]
      Tensor scores = cosines * scale.to(type);
      if (bias.defined()) scores = scores + bias.to(type);
      // -log sigmoid(z) of a pair is softplus(-z), of all others softplus(z): on the diagonal the sign turns.
      if (positives) scores.diagonal(first).neg_();
      value += at::softplus(scores).sum();
      if (!differentiable) continue;
      Tensor slope = at::sigmoid(scores);
      if (positives) slope.diagonal(first).neg_();
      const Tensor scaled = (slope * scale.to(type)).to(image.scalar_type());
      image_gradient.narrow(0, first, count).copy_(at::matmul(scaled, text));
      text_gradient += at::matmul(scaled.t(), part);
      scale_gradient += (slope * cosines).sum();
      bias_gradient += slope.sum();
    }
  }
  if (!differentiable) return value;
  value = with_gradient(value, image, image_gradient);
  value = with_gradient(value, text, text_gradient);
  value = with_gradient(value, scale, scale_gradient);
  return with_gradient(value, bias, bias_gradient);
}

}  // namespace sigmoid

Tensor sigmoid_loss(const Tensor& image, const Tensor& text, const Tensor& logit_scale, const Tensor& logit_bias, const SigmoidOptions& options) {
  return sigmoid_loss_on_rank(image, {text}, logit_scale, logit_bias, 0, options);
}

Tensor sigmoid_loss_on_rank(const Tensor& image, const std::vector<Tensor>& texts, const Tensor& logit_scale, const Tensor& logit_bias,
                            int64_t rank, const SigmoidOptions& options) {
  if (options.chunk_rows < 1) fail("a sigmoid loss needs chunks of at least one row, not ", options.chunk_rows);
  if (rank < 0 || rank >= static_cast<int64_t>(texts.size())) fail("rank ", rank, " of ", texts.size(), " ranks");
  Tensor sum;
  for (size_t r = 0; r < texts.size(); ++r) {
    const bool own = static_cast<int64_t>(r) == rank;
    const bool fits = image.dim() == 2 && image.size(0) > 0 && texts[r].dim() == 2 && texts[r].size(1) == image.size(1);
    if (!fits || (own && texts[r].size(0) != image.size(0))) {
      fail("a sigmoid loss needs as many pictures as texts, of the same width: got ", image.sizes(), " and, on rank ", r, ", ", texts[r].sizes());
    }
    const Tensor part = sigmoid_pairs::block(image, texts[r], logit_scale, logit_bias, own, options.chunk_rows);
    sum = sum.defined() ? sum + part : part;
  }
  return sum / static_cast<double>(image.size(0));
}

}  // namespace vlm
