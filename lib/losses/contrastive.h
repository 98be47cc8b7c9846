#pragma once
/// The contrastive loss of CLIP (arXiv 2103.00020, figure 3), on one process and over rank shards (specs: clip, 12.1).

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace vlm {

using at::Tensor;

struct ContrastiveOptions {
  /// Each rank scores its own rows against all others, instead of everything against everything: memory B x RB, not RB x RB.
  bool local_loss = false;
  /// Gradients flow back to the ranks that the features came from. Only with this do R ranks give R times the gradient of
  /// one process (which averaging over ranks then divides out).
  bool gather_with_grad = false;
};

/// Symmetric InfoNCE between paired rows: ½ (CE(s I Tᵀ + b) + CE(s T Iᵀ + b)), mean over rows, in nats.
/// image, text: [B, E], unit length. logit_scale: scalar, already exponentiated. logit_bias: scalar or undefined (it
/// cancels in the softmax). groups: [B] int64 or undefined; rows of the same group are positives of each other, the target
/// spread evenly over them (pictures that share a caption). Throws if the batches differ.
Tensor contrastive_loss(const Tensor& image, const Tensor& text, const Tensor& logit_scale, const Tensor& logit_bias = {},
                        const Tensor& groups = {});

/// The loss on rank `rank`, which holds rows [rank B, (rank + 1) B) of the gathered features.
/// image, text: [B, E], this rank's; all_image, all_text: [R B, E], concatenated in rank order by gather_shards().
Tensor contrastive_loss_on_rank(const Tensor& image, const Tensor& text, const Tensor& all_image, const Tensor& all_text,
                                const Tensor& logit_scale, const Tensor& logit_bias, int64_t rank, const ContrastiveOptions& options);

/// The scores behind contrastive_loss_on_rank(): with local_loss [B, R B], else [R B, R B], differentiable as gathered.
struct ContrastiveLogits {
  Tensor per_image, per_text;
};
ContrastiveLogits contrastive_logits_on_rank(const Tensor& image, const Tensor& text, const Tensor& all_image, const Tensor& all_text,
                                             const Tensor& logit_scale, const Tensor& logit_bias, const ContrastiveOptions& options);

/// What rank `rank` holds after gathering the shards of all ranks: [R B, E]. With gather_with_grad all rows are
/// differentiable; without, only its own rows are, and with local_loss not even these. Throws if the shards differ in shape.
Tensor gather_shards(const std::vector<Tensor>& shards, int64_t rank, const ContrastiveOptions& options);

}  // namespace vlm
