#pragma once
/// What is done to the scores of the next id before one is chosen.

#include <cstdint>
#include <vector>

#include "vlm/infer/generate.h"

namespace vlm {

using TokenRow = std::vector<int64_t>;

/// Divides positive scores of the ids in `row` by the penalty and multiplies negative ones with it (CTRL, arXiv 1909.05858).
void penalize_repetition(float* scores, const TokenRow& row, double penalty);
/// The ids that would complete an n-gram that `row` holds already.
TokenRow ngram_completions(const TokenRow& row, int64_t n);
/// Rules them out.
void block_ngrams(float* scores, const TokenRow& row, int64_t n);
/// Applies the options that look at a row's ids: repetition, n-grams, least length, allowed ids. scores: [V].
void process_scores(float* scores, int64_t vocabulary, const TokenRow& row, int64_t prompt_length, int64_t end, const GenerateOptions& options);
/// Everything but the k best becomes -inf (what equals the k-th best stays).
void keep_top_k(float* scores, int64_t vocabulary, int64_t k);
/// Everything outside the smallest set of probability >= p becomes -inf; at least one id stays.
void keep_top_p(float* scores, int64_t vocabulary, double p);
/// The index of the largest score, the first one on ties.
int64_t best_id(const float* scores, int64_t vocabulary);
/// Draws an id with probability softmax(scores / temperature), from u in [0, 1).
int64_t draw_id(const float* scores, int64_t vocabulary, double temperature, double u);

}  // namespace vlm
