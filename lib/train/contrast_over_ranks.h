#pragma once
/// Losses between the pairs of all processes. Features travel, scores do not: a rank scores its own rows against everyone's,
/// a strip at a time.

#include <string>

#include "vlm/losses/contrastive_blocks.h"
#include "vlm/losses/sigmoid.h"
#include "vlm/train/communicator.h"

namespace vlm {

/// [B]: rows of ids [B, L] that are equal get the same number.
Tensor equal_row_groups(const Tensor& ids);

/// contrastive_loss_in_blocks() of this rank's rows among those of all ranks, which may differ in rows. Weighed by rows, the
/// mean over ranks is the loss of the whole batch, and so is its gradient.
/// image, text: [B_r, E], unit length. ids: [B_r, L], int64: rows with equal ids, on whatever rank, are positives of each
/// other; undefined: only pairs are.
Tensor contrastive_over_ranks(Communicator& communicator, const Tensor& image, const Tensor& text, const Tensor& logit_scale,
                              const Tensor& logit_bias, const Tensor& ids, const ContrastiveBlockOptions& options);

/// sigmoid_loss_on_rank() with the texts of all ranks. `exchange`: "ring" hands texts to the next rank, R - 1 times;
/// "gather" collects them at once. Both give the same loss and gradients. Weighed as above.
Tensor sigmoid_over_ranks(Communicator& communicator, const Tensor& image, const Tensor& text, const Tensor& logit_scale,
                          const Tensor& logit_bias, const std::string& exchange, const SigmoidOptions& options);

}  // namespace vlm
