#include "vlm/losses/contrastive_blocks.h"

#include <ATen/ops/logsumexp.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>

#include "vlm/core/error.h"
#include "vlm/losses/known_gradient.h"

namespace vlm {

namespace contrastive_blocks {

/// Which columns are the positives of which rows.
struct Targets {
  int64_t first_row;
  Tensor row_groups, column_groups;
};

/// Takes `share` of the target off `slope` and returns the sum of target times score. slope, scores: [count, N], of the rows
/// from `first` on.
Tensor subtract_target(Tensor& slope, const Tensor& scores, const Targets& targets, int64_t first, double share) {
  if (!targets.row_groups.defined()) {
    const int64_t offset = targets.first_row + first;
    slope.diagonal(offset).sub_(share);
    return scores.diagonal(offset).sum();
  }
  const Tensor groups = targets.row_groups.narrow(0, first, scores.size(0));
  const Tensor same = groups.unsqueeze(1).eq(targets.column_groups.unsqueeze(0)).to(scores.scalar_type());
  const Tensor target = same / same.sum(1, true);
  slope.sub_(target, share);
  return (target * scores).sum();
}

/// Sum over rows of the cross entropy against the columns, not yet divided. rows: [B, E], columns: [N, E].
Tensor direction(const Tensor& rows, const Tensor& columns, const Tensor& scale, const Tensor& bias, const Targets& targets,
                 const ContrastiveBlockOptions& options) {
  const bool differentiable = wants_gradient(rows) || wants_gradient(columns) || wants_gradient(scale) || wants_gradient(bias);
  const auto type = rows.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const auto wide = rows.options().dtype(type).requires_grad(false);
  const double smoothing = options.label_smoothing, width = static_cast<double>(columns.size(0));
  Tensor value = at::zeros({}, wide), row_gradient, column_gradient, scale_gradient = at::zeros({}, wide), bias_gradient = at::zeros({}, wide);
  {
    const at::NoGradGuard no_graph;
    if (differentiable) row_gradient = at::zeros_like(rows, wide), column_gradient = at::zeros_like(columns, wide);
    for (int64_t first = 0; first < rows.size(0); first += options.block_rows) {
      const int64_t count = std::min(options.block_rows, rows.size(0) - first);
      const Tensor part = rows.narrow(0, first, count);
      const Tensor cosines = at::matmul(part, columns.t()).to(type);  // [count, N]
      Tensor scores = cosines * scale.to(type);
      if (bias.defined()) scores = scores + bias.to(type);
      const Tensor normaliser = at::logsumexp(scores, at::IntArrayRef{1}, true);
      Tensor slope = (scores - normaliser).exp_();
      const Tensor hit = subtract_target(slope, scores, targets, first, 1 - smoothing);
      value += normaliser.sum() - hit * (1 - smoothing);
      if (smoothing > 0) {
        value -= scores.sum() * (smoothing / width);
        slope.sub_(smoothing / width);
      }
      if (!differentiable) continue;
      const Tensor scaled = (slope * scale.to(type)).to(rows.scalar_type());
      row_gradient.narrow(0, first, count).copy_(at::matmul(scaled, columns));
      column_gradient += at::matmul(scaled.t(), part);
      scale_gradient += (slope * cosines).sum();
      bias_gradient += slope.sum();
    }
  }
  if (!differentiable) return value;
  value = with_gradient(value, rows, row_gradient);
  value = with_gradient(value, columns, column_gradient);
  value = with_gradient(value, scale, scale_gradient);
  return with_gradient(value, bias, bias_gradient);
}

void check(const Tensor& image, const Tensor& text, const Tensor& all_image, const Tensor& all_text, const Targets& targets,
           const ContrastiveBlockOptions& options) {
  if (options.block_rows < 1) fail("a contrastive loss needs blocks of at least one row, not ", options.block_rows);
  if (!(options.label_smoothing >= 0 && options.label_smoothing <= 1)) fail("label_smoothing lies in 0 .. 1, not ", options.label_smoothing);
  if (image.dim() != 2 || image.size(0) == 0 || image.sizes() != text.sizes()) {
    fail("a contrastive loss needs as many pictures as texts, of the same width: got ", image.sizes(), " and ", text.sizes());
  }
  if (all_image.dim() != 2 || all_image.size(1) != image.size(1) || all_image.sizes() != all_text.sizes()) {
    fail("the gathered features ", all_image.sizes(), " and ", all_text.sizes(), " do not go with rows ", image.sizes());
  }
  const int64_t rows = image.size(0), columns = all_image.size(0);
  if (targets.first_row < 0 || targets.first_row > columns - rows) {
    fail("rows ", targets.first_row, " .. ", targets.first_row + rows - 1, " are not among the ", columns, " gathered ones");
  }
  const Tensor &own = targets.row_groups, &all = targets.column_groups;
  if (own.defined() != all.defined() || (own.defined() && (own.dim() != 1 || own.size(0) != rows || all.dim() != 1 || all.size(0) != columns))) {
    fail("groups must number the ", rows, " rows and the ", columns, " columns, or neither");
  }
}

}  // namespace contrastive_blocks

Tensor contrastive_loss_in_blocks(const Tensor& image, const Tensor& text, const Tensor& all_image, const Tensor& all_text,
                                  const Tensor& logit_scale, const Tensor& logit_bias, int64_t first_row,
                                  const ContrastiveBlockOptions& options, const Tensor& row_groups, const Tensor& column_groups) {
  const contrastive_blocks::Targets targets{first_row, row_groups, column_groups};
  contrastive_blocks::check(image, text, all_image, all_text, targets, options);
  const Tensor of_images = contrastive_blocks::direction(image, all_text, logit_scale, logit_bias, targets, options);
  const Tensor of_texts = contrastive_blocks::direction(text, all_image, logit_scale, logit_bias, targets, options);
  return (of_images + of_texts) / (2 * static_cast<double>(image.size(0)));
}

}  // namespace vlm
