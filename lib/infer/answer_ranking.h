#pragma once
/// Answers out of a long list, ranked in two stages (ALBEF, arXiv 2107.07651; specs: alignment, 3.2; mplug, 3.2): by their first word,
/// then the k best by all of their words.

#include "vlm/models/trainable.h"

namespace vlm {

struct RankedAnswers {
  Tensor ids;            ///< [B, k], int64: places in the list, best first
  Tensor probabilities;  ///< [B, k]: softmax of the scores over the k
};

/// pixels, question, question_mask: as in AnswerBatch. answers, answer_mask: [A, La], the list as the texts that the model learns, which
/// all begin with the same id. The score of an answer is log p(first word) - (sum of the losses of all of its words), which
/// counts the first word twice, as the references do. Of equal first words those that stand earlier in the list go on.
RankedAnswers rank_answers(AnswerTrainable& model, const Tensor& pixels, const Tensor& question, const Tensor& question_mask, const Tensor& answers,
                           const Tensor& answer_mask, int64_t k);

}  // namespace vlm
