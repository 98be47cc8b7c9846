#include "vlm/infer/answer_ranking.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/sort.h>

#include <algorithm>

#include "vlm/core/error.h"
#include "vlm/losses/language_modeling.h"

namespace vlm {

RankedAnswers rank_answers(AnswerTrainable& model, const Tensor& pixels, const Tensor& question, const Tensor& question_mask, const Tensor& answers,
                           const Tensor& answer_mask, int64_t k) {
  const int64_t questions = pixels.size(0);
  if (answers.dim() != 2 || answers.size(0) == 0 || answers.size(1) < 2) fail("a list of answers needs the begin and a word each, [A, La], not ", answers.sizes());
  if (answers.size(0) < k || k < 1) fail_usage("of ", answers.size(0), " answers ", k, " cannot be looked at more closely");
  AnswerBatch batch{.pixels = pixels, .question = question, .question_mask = question_mask};
  batch.mask_question_padding = true;
  batch.row = at::arange(questions, question.options());
  batch.answer = answers.slice(0, 0, 1).slice(1, 0, 1).expand({questions, 1});
  const Tensor next = at::log_softmax(model.answer_logits(batch).select(1, 0).to(at::kFloat), 1);                // [B, V]
  const Tensor first = next.index_select(1, answers.select(1, 1));                                               // [B, A]
  const auto [sorted, order] = at::sort(first, /*stable=*/true, 1, /*descending=*/true);
  const Tensor top = order.slice(1, 0, k).contiguous(), chosen = top.view(-1);                                   // [B, k], [B k]
  batch.row = batch.row.repeat_interleave(k);
  batch.answer = answers.index_select(0, chosen);
  batch.answer_mask = answer_mask.index_select(0, chosen);
  const Tensor labels = batch.answer.masked_fill(batch.answer.eq(model.generation_tokens().pad), -100);
  const Tensor loss = next_token_row_losses(model.answer_logits(batch), labels).view({questions, k});
  const Tensor probability = at::softmax(sorted.slice(1, 0, k) - loss, 1);
  const auto [best, places] = at::sort(probability, /*stable=*/true, 1, /*descending=*/true);
  return {top.gather(1, places), best};
}

}  // namespace vlm
