#include "vlm/infer/best_candidates.h"

#include <algorithm>
#include <limits>

namespace vlm {

namespace candidates {

bool better(const Candidate& a, const Candidate& b) {
  if (a.score != b.score) return a.score > b.score;
  return a.beam != b.beam ? a.beam < b.beam : a.token < b.token;
}

/// Whether any of n values + base is above `least`. Counts instead of stopping, which vector units can do.
bool any_above(const float* values, int64_t n, float base, float least) {
  int32_t hits = 0;
  for (int64_t i = 0; i < n; ++i) hits += values[i] + base > least ? 1 : 0;
  return hits > 0;
}

}  // namespace candidates

void BestCandidates::offer(int64_t beam, const float* values, const int64_t* ids, int64_t count, float base) {
  constexpr int64_t stretch = 128;
  constexpr float impossible = -std::numeric_limits<float>::infinity();
  for (int64_t from = 0; from < count; from += stretch) {
    const int64_t to = std::min(from + stretch, count);
    if (heap_.size() == count_ && !candidates::any_above(values + from, to - from, base, heap_.front().score)) continue;
    for (int64_t i = from; i < to; ++i) {
      const float score = values[i] + base;
      if (possible_only_ && !(score > impossible)) continue;
      // What is offered later loses ties, so it must be above the worst.
      if (heap_.size() == count_ && !(score > heap_.front().score)) continue;
      heap_.push_back({score, beam, ids == nullptr ? i : ids[i]});
      std::push_heap(heap_.begin(), heap_.end(), candidates::better);
      if (heap_.size() > count_) {
        std::pop_heap(heap_.begin(), heap_.end(), candidates::better);
        heap_.pop_back();
      }
    }
  }
}

std::vector<Candidate> BestCandidates::take() {
  std::sort(heap_.begin(), heap_.end(), candidates::better);
  return std::move(heap_);
}

}  // namespace vlm
