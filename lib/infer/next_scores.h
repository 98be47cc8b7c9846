#pragma once
/// Scores of a row's next id, and ways to rule ids out.

#include <cstdint>
#include <span>

namespace vlm {

/// A view of log-probabilities: of all ids, or of some while all others are ruled out (-inf). Ids outside the view are ignored.
class NextScores {
 public:
  /// values[i] belongs to the id i.
  NextScores(float* values, int64_t count) : values_(values), count_(count) {}
  /// values[i] belongs to ids[i]; ids ascend.
  NextScores(std::span<const int64_t> ids, float* values) : ids_(ids.data()), values_(values), count_(static_cast<int64_t>(ids.size())) {}
  NextScores(const NextScores&) = delete;  // may point into itself
  NextScores& operator=(const NextScores&) = delete;

  int64_t count() const { return count_; }
  const float* values() const { return values_; }
  /// Null where the view is of all ids.
  const int64_t* ids() const { return ids_; }
  int64_t id(int64_t i) const { return ids_ == nullptr ? i : ids_[i]; }
  float of(int64_t id) const;

  void rule_out(int64_t id);
  /// Ids from .. to - 1.
  void rule_out(int64_t from, int64_t to);
  void add(int64_t id, float amount);
  /// What is not a number is ruled out.
  void rule_out_nan();
  /// Nothing but `id`, with this score.
  void keep_only(int64_t id, float score);

 private:
  int64_t place(int64_t id) const;  // -1: not in the view

  const int64_t* ids_ = nullptr;
  float* values_;
  int64_t count_;
  int64_t only_id_ = 0;
  float only_score_ = 0;
};

/// log_softmax over few values, in place (float32, as ATen computes it: what is not allowed is not among them).
void log_softmax_of_few(std::span<float> values);

}  // namespace vlm
