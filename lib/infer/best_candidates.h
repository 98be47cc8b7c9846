#pragma once
/// The best few of very many scores, in one pass: what a beam search goes on with.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace vlm {

/// One way to go on: `token` after hypothesis `beam`.
struct Candidate {
  float score;
  int64_t beam, token;
};

/// Keeps the `count` best of what it is offered. On ties the lower beam comes first, then the lower token.
class BestCandidates {
 public:
  /// possible_only: scores of -inf are left out, so that fewer than `count` may be kept.
  explicit BestCandidates(int64_t count, bool possible_only = false) : count_(static_cast<size_t>(count)), possible_only_(possible_only) {}
  /// Offers values[i] + base for the token ids[i] (ids null: for the token i), i < count, in ascending order of tokens. Beams
  /// must be offered in ascending order.
  void offer(int64_t beam, const float* values, const int64_t* ids, int64_t count, float base);
  /// What was kept, best first. Ends the collection.
  std::vector<Candidate> take();

 private:
  std::vector<Candidate> heap_;  // the worst of those kept is at the front
  size_t count_;
  bool possible_only_;
};

}  // namespace vlm
