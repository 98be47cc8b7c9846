#include "vlm/infer/token_trie.h"

#include <algorithm>

#include "vlm/core/error.h"

namespace vlm {

TokenTrie::TokenTrie(const std::vector<std::vector<int64_t>>& sequences, int64_t end) : end_(end), largest_(end) {
  std::vector<std::vector<int64_t>> sorted = sequences;
  for (auto& sequence : sorted) {
    sequence.push_back(end);
    for (const int64_t id : sequence) {
      if (id < 0) fail("an answer holds the id ", id, ", which no vocabulary has");
      largest_ = std::max(largest_, id);
    }
  }
  std::sort(sorted.begin(), sorted.end());
  // A node is the stretch of sorted sequences that begin alike.
  struct Node {
    size_t from, to, depth;
  };
  std::vector<Node> queue = {{0, sorted.size(), 0}};
  for (size_t at = 0; at < queue.size(); ++at) {
    const Node node = queue[at];
    first_.push_back(static_cast<int64_t>(ids_.size()));
    size_t from = node.from;
    while (from < node.to && sorted[from].size() == node.depth) ++from;  // these end here
    while (from < node.to) {
      const int64_t id = sorted[from][node.depth];
      size_t to = from;
      while (to < node.to && sorted[to][node.depth] == id) ++to;
      ids_.push_back(id);
      queue.push_back({from, to, node.depth + 1});
      from = to;
    }
  }
  first_.push_back(static_cast<int64_t>(ids_.size()));
}

int64_t TokenTrie::child(int64_t node, int64_t id) const {
  if (node == nowhere) return nowhere;
  const auto from = ids_.begin() + first_[static_cast<size_t>(node)], to = ids_.begin() + first_[static_cast<size_t>(node) + 1];
  const auto it = std::lower_bound(from, to, id);
  return it != to && *it == id ? it - ids_.begin() + 1 : nowhere;
}

int64_t TokenTrie::find(std::span<const int64_t> ids) const {
  int64_t node = root;
  for (const int64_t id : ids) node = child(node, id);
  return node;
}

std::span<const int64_t> TokenTrie::next(int64_t node) const {
  if (node == nowhere) return {&end_, 1};
  const auto from = static_cast<size_t>(first_[static_cast<size_t>(node)]), to = static_cast<size_t>(first_[static_cast<size_t>(node) + 1]);
  return {ids_.data() + from, to - from};
}

}  // namespace vlm
