#include "vlm/infer/answer_ranking.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/sort.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "vlm/core/error.h"
#include "vlm/losses/language_modeling.h"

namespace vlm {

RankedAnswers rank_answers(const AnswerRanker& model, const Tensor& states, const Tensor& mask, const Tensor& answers, const Tensor& answer_mask,
                           const RankOptions& options) {
  if (answers.dim() != 2 || answers.size(0) < 1 || answers.size(1) < 2) fail("ranking needs answers of at least two ids, [A, L], not ", answers.sizes());
  const at::NoGradGuard no_grad;
  const int64_t questions = states.size(0), k = std::clamp<int64_t>(options.k, 1, answers.size(0));

  const Tensor begin = answers.slice(0, 0, 1).slice(1, 0, 1).expand({questions, 1});                           // [B, 1]
  const Tensor first = at::log_softmax(model.decode_answers(begin, at::ones({questions, 1}, answers.options()), states, mask).select(1, 0), 1);  // [B, V]
  const Tensor first_word = first.index_select(1, answers.select(1, 1));                                       // [B, A]
  const auto [best, order] = at::sort(first_word, /*stable=*/true, 1, /*descending=*/true);
  const Tensor chosen = order.slice(1, 0, k);                                                                  // [B, k]

  const Tensor flat = chosen.reshape({-1});
  const Tensor question = at::arange(questions, flat.options()).repeat_interleave(k);
  std::vector<Tensor> losses;
  for (int64_t at = 0; at < flat.size(0); at += options.chunk) {
    const Tensor rows = flat.slice(0, at, at + options.chunk), of = question.slice(0, at, at + options.chunk);
    const Tensor ids = answers.index_select(0, rows), visible = answer_mask.index_select(0, rows);
    const Tensor logits = model.decode_answers(ids, visible, states.index_select(0, of), mask.defined() ? mask.index_select(0, of) : Tensor());
    losses.push_back(next_token_row_losses(logits, ids.masked_fill(visible.eq(0), -100)));
  }
  const Tensor score = best.slice(1, 0, k) - at::cat(losses).view({questions, k});
  // Equal scores keep the list's order.
  const Tensor listed = std::get<1>(at::sort(chosen, /*stable=*/true, 1, /*descending=*/false));
  const Tensor ids = chosen.gather(1, listed);
  const auto [probability, place] = at::sort(at::softmax(score.gather(1, listed), 1), /*stable=*/true, 1, /*descending=*/true);
  return {ids.gather(1, place), probability};
}

TextRows answer_rows(const Tokenizer& tokenizer, const std::vector<std::string>& answers, const GenerationTokens& tokens, int64_t ends) {
  std::vector<std::vector<int64_t>> rows;
  for (const auto& answer : answers) rows.push_back(taught_ids(tokenizer, answer, tokens, tokens.max_length, ends));
  return pad_rows(rows, tokens.pad);
}

}  // namespace vlm
