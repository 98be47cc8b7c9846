#include "vlm/infer/sequence_sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace vlm {

std::optional<std::pair<int64_t, float>> draw_next(const NextScores& scores, int64_t k, double p, double u) {
  struct Choice {
    float score;
    int64_t id;
  };
  std::vector<Choice> choices;
  for (int64_t i = 0; i < scores.count(); ++i) {
    if (scores.values()[i] > -std::numeric_limits<float>::infinity()) choices.push_back({scores.values()[i], scores.id(i)});
  }
  if (choices.empty()) return std::nullopt;
  const auto better = [](const Choice& a, const Choice& b) { return a.score != b.score ? a.score > b.score : a.id < b.id; };
  if (p < 1) {
    std::sort(choices.begin(), choices.end(), better);
    double reached = 0;
    size_t kept = 0;
    while (kept < choices.size() && reached < p) reached += std::exp(static_cast<double>(choices[kept++].score));
    choices.resize(kept);
  } else if (k > 0 && k < static_cast<int64_t>(choices.size())) {
    std::nth_element(choices.begin(), choices.begin() + (k - 1), choices.end(), better);
    choices.resize(static_cast<size_t>(k));
    std::sort(choices.begin(), choices.end(), better);  // so that a draw does not depend on how nth_element leaves them
  }
  const float top = std::max_element(choices.begin(), choices.end(), [](const Choice& a, const Choice& b) { return a.score < b.score; })->score;
  std::vector<double> sums;
  double total = 0;
  for (const Choice& choice : choices) sums.push_back(total += std::exp(static_cast<double>(choice.score) - top));
  const auto it = std::upper_bound(sums.begin(), sums.end(), u * total);
  const Choice& drawn = choices[static_cast<size_t>(std::min<std::ptrdiff_t>(it - sums.begin(), static_cast<std::ptrdiff_t>(choices.size()) - 1))];
  return std::make_pair(drawn.id, drawn.score);
}

}  // namespace vlm
