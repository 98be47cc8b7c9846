#pragma once
/// Symmetric InfoNCE with smoothed targets (specs: clip, 12.5).

#include <ATen/core/Tensor.h>

namespace vlm {

using at::Tensor;

/// ½ (CE(s I Tᵀ) + CE(s T Iᵀ)) against (1 - e) onehot + e / B, e = label_smoothing in 0 .. 1.
/// image, text: [B, E], unit length. logit_scale: scalar, already exponentiated. Returns a scalar, in nats.
Tensor infonce_loss(const Tensor& image, const Tensor& text, const Tensor& logit_scale, double label_smoothing = 0);

}  // namespace vlm
