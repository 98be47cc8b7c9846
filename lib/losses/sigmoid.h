#pragma once
/// The pairwise sigmoid loss of SigLIP (arXiv 2303.15343, eq. 1; specs: clip, 12.2).

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace vlm {

using at::Tensor;

struct SigmoidOptions {
  /// Rows of the score matrix that exist at a time: memory is chunk_rows x B, in the backward pass too.
  int64_t chunk_rows = 1024;
};

/// -sum over all pairs of log sigmoid(y z), divided by the number of rows; z = s I Tᵀ + b, y = +1 where row and column are a
/// pair and -1 elsewhere.
/// image, text: [B, E], unit length. logit_scale: scalar, already exponentiated. logit_bias: scalar or undefined (0).
/// Returns a scalar, in nats. It can be differentiated once. Throws if the two batches differ.
Tensor sigmoid_loss(const Tensor& image, const Tensor& text, const Tensor& logit_scale, const Tensor& logit_bias,
                    const SigmoidOptions& options = {});

/// The loss on rank `rank`: its pictures against its own texts, and as negatives against the texts of every other rank. In
/// whatever order the ranks hand their texts round, this is what each of them ends with; it is divided by the rows of one
/// rank, so that averaging the gradients over ranks makes (1/R) sum over ranks the loss of the whole.
/// image: [B, E], this rank's; texts: of all ranks, [B, E] from this one, any number of rows from the others. Where ranks
/// differ in rows, the mean over ranks must weigh by them.
Tensor sigmoid_loss_on_rank(const Tensor& image, const std::vector<Tensor>& texts, const Tensor& logit_scale, const Tensor& logit_bias,
                            int64_t rank, const SigmoidOptions& options = {});

}  // namespace vlm
