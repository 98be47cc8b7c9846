#pragma once
/// Draws the next id out of log-probabilities.

#include <optional>
#include <utility>

#include "vlm/infer/next_scores.h"

namespace vlm {

/// Draws from u in [0, 1): among the k best (k > 0; the lower id first on ties), or among the smallest set that reaches the
/// probability p (p < 1), or among all, each in proportion to its probability. Probabilities need not add up to 1; neither p nor
/// the result is corrected for that. Returns the id and its log-probability; nothing where all ids are ruled out.
std::optional<std::pair<int64_t, float>> draw_next(const NextScores& scores, int64_t k, double p, double u);

}  // namespace vlm
