#pragma once
/// Contrast between pictures and texts against a queue of earlier features, with the targets of momentum networks: what ALBEF
/// (arXiv 2107.07651), TCL (arXiv 2202.10401), CODIS (arXiv 2203.00048) and mPLUG (arXiv 2205.12005) align their towers by.
/// Specs: alignment, 2.1, 2.2 and 5 (ICA); mplug, 2 (ITC).

#include <ATen/core/Tensor.h>

namespace vlm {

using at::Tensor;

/// Features of one batch. All rows and columns have unit length.
struct QueueContrastFeatures {
  Tensor image, text;              ///< [B, d], of the networks that learn
  Tensor image_m, text_m;          ///< [B, d], of the momentum networks; constants, whatever graph they carry
  Tensor image_queue, text_queue;  ///< [d, Q], a column a feature, as they are before this batch enters them; undefined: none
};

/// One direction, from rows (anchors) to columns (the batch's momentum features, then the queue's).
struct QueueContrastDirection {
  Tensor similarity;  ///< [B, B + Q]: dot products divided by the temperature
  Tensor targets;     ///< [B, B + Q]: rows sum to 1; a constant
  Tensor loss;        ///< scalar, in nats: - mean over rows of sum targets log softmax(similarity)
};

/// ITC, also called cross-modal alignment.
struct ImageTextContrast {
  QueueContrastDirection i2t, t2i;
  Tensor loss() const;  ///< their mean
};

/// IMC: each modality against itself.
struct IntraModalContrast {
  QueueContrastDirection i2i, t2t;
  Tensor loss() const;  ///< their mean
};

/// [B, B + Q], float32: who is whose positive. Without `idx` (undefined) row b has its own column b only; with the pictures'
/// numbers idx [B] and idx_queue ([Q] or [1, Q], undefined where there is no queue), int64, all columns of the same number share
/// the row evenly. `queue`: Q.
Tensor contrast_targets(const Tensor& idx, const Tensor& idx_queue, int64_t batch, int64_t queue, const at::Device& device);

/// Pictures against T = [text_mᵀ | text_queue], texts against I = [image_mᵀ | image_queue]:
///
///   targets = alpha softmax(similarity of the momentum feature of the same row) + (1 - alpha) hard
///
/// temp: scalar that similarities are divided by. Gradients reach image, text and temp; not temp in the targets.
/// hard: of contrast_targets(). alpha: from 0 to 1. Throws if shapes do not fit together.
ImageTextContrast image_text_contrast(const QueueContrastFeatures& features, const Tensor& temp, const Tensor& hard, double alpha);

/// Pictures against I, texts against T; TCL takes the hard targets alone (alpha 0), CODIS softens these, too.
IntraModalContrast intra_modal_contrast(const QueueContrastFeatures& features, const Tensor& temp, const Tensor& hard, double alpha = 0);

}  // namespace vlm
