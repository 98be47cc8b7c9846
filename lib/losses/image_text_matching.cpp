#include "vlm/losses/image_text_matching.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/nonzero.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include "vlm/core/error.h"

namespace vlm {

namespace hard_negatives {

/// [B, B], bool: columns that are no negatives of the row.
Tensor excluded(const Tensor& idx, int64_t batch, const at::Device& device) {
  if (!idx.defined()) return at::eye(batch, at::TensorOptions().dtype(at::kBool).device(device));
  if (idx.numel() != batch) fail("the pictures of ", batch, " rows have as many numbers, not ", idx.numel());
  const Tensor numbers = idx.reshape({-1}).to(device);
  return numbers.unsqueeze(1).eq(numbers.unsqueeze(0));
}

}  // namespace hard_negatives

Tensor negative_weights(const Tensor& similarity, const Tensor& idx) {
  if (similarity.dim() != 2 || similarity.size(1) < similarity.size(0)) {
    fail("weights of negatives come from scores of a batch against itself and a queue, [B, B + Q], not ", similarity.sizes());
  }
  const int64_t batch = similarity.size(0);
  const Tensor weights = at::softmax(similarity.detach().narrow(1, 0, batch), 1);
  return weights.masked_fill(hard_negatives::excluded(idx, batch, similarity.device()), 0);
}

Tensor draw_negatives(const Tensor& weights, const Tensor& uniforms, const Tensor& idx, NoNegative otherwise) {
  if (weights.dim() != 2 || weights.size(0) != weights.size(1) || uniforms.numel() != weights.size(0)) {
    fail("negatives are drawn from weights [B, B] by B numbers, not from ", weights.sizes(), " by ", uniforms.numel());
  }
  const int64_t batch = weights.size(0);
  if (batch < 2) fail("a batch of one pair has no negatives; image-text matching needs at least two");
  Tensor w = weights.detach().to(at::kDouble);
  const Tensor has_any = w.sum(1).gt(0).logical_and(w.sum(1).isfinite());  // [B]
  if (otherwise == NoNegative::error) {
    const Tensor without = at::nonzero(has_any.logical_not()).flatten().cpu();
    if (without.numel() > 0) {
      fail("sample ", without[0].item<int64_t>(), " of the batch has no negative left for image-text matching: all other weights are 0. ",
           idx.defined() ? "Are all samples of the same picture?" : "Has the temperature or the model run away?");
    }
  } else {
    const Tensor own = at::eye(batch, w.options()), others = 1 - own;
    const Tensor different = hard_negatives::excluded(idx, batch, w.device()).logical_not().to(at::kDouble);
    const Tensor stand_in = at::where(different.sum(1, true).gt(0), different, others);
    w = at::where(has_any.unsqueeze(1), w, stand_in);
  }
  const Tensor running = w.cumsum(1), total = running.narrow(1, batch - 1, 1);
  const Tensor passed = running.le(uniforms.reshape({-1, 1}).to(w.device(), at::kDouble) * total);
  return passed.sum(1).clamp_max(batch - 1);  // [B]
}

MatchingNegatives matching_negatives(const Tensor& sim_i2t, const Tensor& sim_t2i, const Tensor& uniform_image, const Tensor& uniform_text,
                                     const Tensor& idx, NoNegative otherwise) {
  MatchingNegatives out;
  out.weights_i2t = negative_weights(sim_i2t, idx);
  out.weights_t2i = negative_weights(sim_t2i, idx);
  out.image = draw_negatives(out.weights_t2i, uniform_image, idx, otherwise);
  out.text = draw_negatives(out.weights_i2t, uniform_text, idx, otherwise);
  return out;
}

Tensor matching_loss(const Tensor& logits) {
  if (logits.dim() != 2 || logits.size(1) != 2 || logits.size(0) % 3 || logits.size(0) == 0) {
    fail("image-text matching takes logits [3 B, 2], a right and two wrong pairs a sample, not ", logits.sizes());
  }
  const Tensor labels = at::zeros({logits.size(0)}, logits.options().dtype(at::kLong));
  labels.narrow(0, 0, logits.size(0) / 3).fill_(1);
  return at::cross_entropy_loss(logits, labels);
}

}  // namespace vlm
