#pragma once
/// Which ids may come next, where only some sequences are wanted: closed sets of answers, labels.

#include <cstdint>
#include <span>
#include <vector>

namespace vlm {

/// A tree of sequences, each followed by `end`. Its nodes are numbers, so a search keeps one beside every hypothesis.
class TokenTrie {
 public:
  static constexpr int64_t root = 0;      ///< nothing has been written
  static constexpr int64_t nowhere = -1;  ///< after ids that no sequence begins with

  /// The same sequence may come twice; an empty one is `end` alone. Throws if an id is negative.
  TokenTrie(const std::vector<std::vector<int64_t>>& sequences, int64_t end);

  /// Where `id` leads from a node; `nowhere` if it may not follow.
  int64_t child(int64_t node, int64_t id) const;
  /// Where `ids` lead from the root.
  int64_t find(std::span<const int64_t> ids) const;
  /// What may follow a node, in ascending order: `end` alone after `nowhere`, nothing after `end`.
  std::span<const int64_t> next(int64_t node) const;
  int64_t end() const { return end_; }
  /// The largest id of all.
  int64_t largest() const { return largest_; }
  int64_t nodes() const { return static_cast<int64_t>(first_.size()) - 1; }

 private:
  // Nodes are numbered breadth first, so that entry i of ids_ leads to node i + 1.
  std::vector<int64_t> first_, ids_;
  int64_t end_, largest_;
};

}  // namespace vlm
