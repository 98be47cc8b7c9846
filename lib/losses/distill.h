#pragma once
/// Distillation of a dual encoder from the scores of another one (specs: clip, 12.4).

#include <ATen/core/Tensor.h>

#include "vlm/losses/contrastive.h"

namespace vlm {

/// - sum over columns of softmax(teacher) log_softmax(student), mean over rows: a cross entropy, not a divergence. The
/// teacher gets no gradient. teacher, student: [B, C].
Tensor soft_cross_entropy(const Tensor& teacher, const Tensor& student);

/// ½ (soft_cross_entropy over the scores of pictures + over those of texts). Both encoders must have been gathered with the
/// same options; their widths may differ.
Tensor distill_loss(const ContrastiveLogits& teacher, const ContrastiveLogits& student);

}  // namespace vlm
