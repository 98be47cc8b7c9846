#pragma once
/// What a model that writes text must do to be taught: all positions of given texts at once ("teacher forcing"). Training asks
/// for these interfaces; generation for those of generator.h.

#include <ATen/core/Tensor.h>

#include "vlm/models/generator.h"

namespace vlm {

/// Learns to describe pictures.
class CaptionTrainable : public virtual Generator {
 public:
  /// pixels: [B, 3, H, W]; ids: [B, L], int64, texts that begin with generation_tokens().begin; mask: [B, L], 0 for padding,
  /// which stands at the end. Returns logits [B, L, V]; those at place t are for the id at t + 1.
  virtual Tensor caption_logits(const Tensor& pixels, const Tensor& ids, const Tensor& mask) = 0;
  /// The same of several texts a picture: text n is about picture row[n] ([N], int64). Models that can look at each picture once do.
  virtual Tensor several_caption_logits(const Tensor& pixels, const Tensor& row, const Tensor& ids, const Tensor& mask) {
    return caption_logits(pixels.index_select(0, row), ids, mask);
  }
};

/// Learns to answer questions about pictures.
struct AnswerBatch {
  Tensor pixels;                   ///< [B, 3, H, W]
  Tensor question, question_mask;  ///< [B, Lq], int64; 0 in the mask for padding
  Tensor row;                      ///< [N], int64: which question an answer belongs to; a question may have several
  Tensor answer, answer_mask;      ///< [N, La], as the texts of CaptionTrainable
  bool mask_question_padding = false;  ///< true: answers do not look at the padding of questions (the reference lets them)
};

class AnswerTrainable : public virtual Generator {
 public:
  /// Logits [N, La, V], as those of CaptionTrainable. Pictures and questions are encoded once, however many answers.
  virtual Tensor answer_logits(const AnswerBatch& batch) = 0;
  /// Whether slow copies can say the same, as momentum_answer_logits(): a constant.
  virtual bool has_teacher() const { return false; }
  virtual Tensor momentum_answer_logits(const AnswerBatch& batch) const {
    (void)batch;
    return {};
  }
};

/// Pairs for a contrastive loss and captions, from one pass (CoCa, arXiv 2205.01917).
struct CaptionedPairs {
  Tensor image, text;  ///< [B, E], unit length
  Tensor logits;       ///< [B, L - 1, V]
  Tensor labels;       ///< [B, L - 1], int64: the ids that the logits are for, padding included
};

class PairCaptionTrainable : public virtual Generator {
 public:
  /// pixels: [B, 3, H, W]; ids: [B, context_length], padded with generation_tokens().pad.
  virtual CaptionedPairs captioned_pairs(const Tensor& pixels, const Tensor& ids) = 0;
};

}  // namespace vlm
