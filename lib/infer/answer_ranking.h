#pragma once
/// Answers out of a list, by likelihood: how ALBEF and mPLUG are evaluated on VQA (specs: alignment, 3.2).

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "vlm/infer/text_ids.h"
#include "vlm/models/answer_ranker.h"

namespace vlm {

struct RankedAnswers {
  Tensor ids;            ///< [B, k], int64: numbers of answers, the best first; equal ones in the list's order
  Tensor probabilities;  ///< [B, k], float32: softmax over the k
};

struct RankOptions {
  int64_t k = 128;           ///< so many answers are scored as a whole: those whose first word is the most likely; at most all
  int64_t chunk = 1024;      ///< rows of answers in one pass of the decoder
};

/// states, mask: of the questions, as AnswerRanker::read_question() gives them; answers, answer_mask: [A, La], rows that begin with
/// [CLS]. The first word counts twice: it chooses the k, and is part of the whole, as in the reference. Without gradients.
RankedAnswers rank_answers(const AnswerRanker& model, const Tensor& states, const Tensor& mask, const Tensor& answers, const Tensor& answer_mask,
                           const RankOptions& options = {});

/// Texts as rows of rank_answers(), with as many ends as the family's answers have (AnswerWording::ends).
TextRows answer_rows(const Tokenizer& tokenizer, const std::vector<std::string>& answers, const GenerationTokens& tokens, int64_t ends);

}  // namespace vlm
