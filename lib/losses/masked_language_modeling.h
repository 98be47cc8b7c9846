#pragma once
/// Masked language modelling, with the momentum network's guesses as a second target (ALBEF, arXiv 2107.07651, eq. 7; specs:
/// alignment, 2.5; mplug, 2 MLM).

#include <ATen/core/Tensor.h>

namespace vlm {

using at::Tensor;

/// Over which axis of [B, L, V] the student's scores become log-probabilities where it is held against the momentum network.
enum class DistillAxis {
  vocabulary,  ///< as it should be
  sequence,    ///< mPLUG's: over the L places, padding included; the teacher's stay a distribution over the vocabulary
};

struct MaskedLanguageModelingOptions {
  double alpha = 0;                              ///< share of the momentum network's targets
  DistillAxis axis = DistillAxis::vocabulary;
  int64_t ignore = -100;                         ///< the label of places that are not masked
};

/// (1 - alpha) hard + alpha soft, both means over the masked places: hard = -log p(label), soft = -sum_v p_m(v) log p(v).
/// 0, with a gradient of 0, if nothing is masked. logits: [B, L, V]; labels: [B, L], int64, of the same places (nothing is shifted);
/// logits_m: [B, L, V], of the momentum network, a constant; undefined with alpha 0 only.
Tensor masked_language_modeling_loss(const Tensor& logits, const Tensor& labels, const Tensor& logits_m = {},
                                     const MaskedLanguageModelingOptions& options = {});

}  // namespace vlm
