#include "vlm/infer/next_scores.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace vlm {

namespace next_scores {
constexpr float ruled_out = -std::numeric_limits<float>::infinity();
}

int64_t NextScores::place(int64_t id) const {
  if (ids_ == nullptr) return id >= 0 && id < count_ ? id : -1;
  const int64_t* it = std::lower_bound(ids_, ids_ + count_, id);
  return it != ids_ + count_ && *it == id ? it - ids_ : -1;
}

float NextScores::of(int64_t id) const {
  const int64_t at = place(id);
  return at < 0 ? next_scores::ruled_out : values_[at];
}

void NextScores::rule_out(int64_t id) {
  const int64_t at = place(id);
  if (at >= 0) values_[at] = next_scores::ruled_out;
}

void NextScores::rule_out(int64_t from, int64_t to) {
  const auto bound = [&](int64_t id) { return ids_ == nullptr ? std::clamp<int64_t>(id, 0, count_) : std::lower_bound(ids_, ids_ + count_, id) - ids_; };
  const int64_t first = bound(from), last = bound(to);
  if (first < last) std::fill(values_ + first, values_ + last, next_scores::ruled_out);
}

void NextScores::add(int64_t id, float amount) {
  const int64_t at = place(id);
  if (at >= 0) values_[at] += amount;
}

void NextScores::rule_out_nan() {
  for (int64_t i = 0; i < count_; ++i) values_[i] = values_[i] == values_[i] ? values_[i] : next_scores::ruled_out;
}

void NextScores::keep_only(int64_t id, float score) {
  only_id_ = id;
  only_score_ = score;
  ids_ = &only_id_;
  values_ = &only_score_;
  count_ = 1;
}

void log_softmax_of_few(std::span<float> values) {
  float top = next_scores::ruled_out, sum = 0;
  for (const float value : values) top = value > top || std::isnan(value) ? value : top;
  for (const float value : values) sum += std::exp(value - top);
  const float log_sum = std::log(sum);
  for (float& value : values) value = value - top - log_sum;
}

}  // namespace vlm
