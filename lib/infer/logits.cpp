#include "vlm/infer/logits.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace vlm {

namespace logits {
constexpr float ruled_out = -std::numeric_limits<float>::infinity();
}

void penalize_repetition(float* scores, const TokenRow& row, double penalty) {
  TokenRow seen = row;
  std::sort(seen.begin(), seen.end());
  seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
  const auto factor = static_cast<float>(penalty);
  for (const int64_t id : seen) scores[id] = scores[id] > 0 ? scores[id] / factor : scores[id] * factor;
}

TokenRow ngram_completions(const TokenRow& row, int64_t n) {
  TokenRow out;
  const auto length = static_cast<int64_t>(row.size());
  if (n <= 0 || length + 1 < n) return out;
  const auto tail = row.end() - (n - 1);
  for (int64_t at = 0; at + n <= length; ++at) {
    if (std::equal(tail, row.end(), row.begin() + at)) out.push_back(row[static_cast<size_t>(at + n - 1)]);
  }
  return out;
}

void block_ngrams(float* scores, const TokenRow& row, int64_t n) {
  for (const int64_t id : ngram_completions(row, n)) scores[id] = logits::ruled_out;
}

void process_scores(float* scores, int64_t vocabulary, const TokenRow& row, int64_t prompt_length, int64_t end, const GenerateOptions& options) {
  const auto length = static_cast<int64_t>(row.size());
  if (options.repetition_penalty != 1.0) penalize_repetition(scores, row, options.repetition_penalty);
  if (options.no_repeat_ngram > 0) block_ngrams(scores, row, options.no_repeat_ngram);
  if (length < options.min_length || length - prompt_length < options.min_new_tokens) scores[end] = logits::ruled_out;
  if (!options.allowed) return;
  const auto allowed = options.allowed(TokenRow(row.begin() + prompt_length, row.end()));
  std::vector<std::pair<int64_t, float>> kept;
  for (const int64_t id : allowed) {
    if (id >= 0 && id < vocabulary) kept.emplace_back(id, scores[id]);
  }
  if (kept.empty()) kept.emplace_back(end, scores[end]);
  std::fill(scores, scores + vocabulary, logits::ruled_out);
  for (const auto& [id, score] : kept) scores[id] = score;
}

void keep_top_k(float* scores, int64_t vocabulary, int64_t k) {
  if (k <= 0 || k >= vocabulary) return;
  std::vector<float> sorted(scores, scores + vocabulary);
  std::nth_element(sorted.begin(), sorted.begin() + (k - 1), sorted.end(), std::greater<>());
  const float least = sorted[static_cast<size_t>(k - 1)];
  for (int64_t i = 0; i < vocabulary; ++i) {
    if (scores[i] < least) scores[i] = logits::ruled_out;
  }
}

void keep_top_p(float* scores, int64_t vocabulary, double p) {
  if (p >= 1.0) return;
  std::vector<int64_t> order(static_cast<size_t>(vocabulary));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return scores[a] > scores[b]; });
  const double top = scores[order.front()];
  double total = 0;
  for (int64_t i = 0; i < vocabulary; ++i) total += std::exp(scores[i] - top);
  double before = 0;
  for (size_t rank = 0; rank < order.size(); ++rank) {
    float& score = scores[order[rank]];
    const double probability = std::exp(score - top) / total;
    if (rank > 0 && before >= p) score = logits::ruled_out;
    before += probability;
  }
}

int64_t best_id(const float* scores, int64_t vocabulary) { return std::max_element(scores, scores + vocabulary) - scores; }

int64_t draw_id(const float* scores, int64_t vocabulary, double temperature, double u) {
  const double top = scores[best_id(scores, vocabulary)];
  std::vector<double> sums(static_cast<size_t>(vocabulary));
  double total = 0;
  for (int64_t i = 0; i < vocabulary; ++i) sums[static_cast<size_t>(i)] = total += std::exp((scores[i] - top) / temperature);
  const auto it = std::upper_bound(sums.begin(), sums.end(), u * total);
  return std::min<int64_t>(it - sums.begin(), vocabulary - 1);
}

}  // namespace vlm
