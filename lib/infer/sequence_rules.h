#pragma once
/// What sequence_search() makes of a decoder's logits: log-probabilities, after everything that options rule out.

#include <ATen/core/Tensor.h>

#include <vector>

#include "vlm/infer/next_scores.h"
#include "vlm/infer/sequence_search.h"

namespace vlm {

/// Throws a usage error for options that contradict each other.
void check(const SequenceSearchOptions& options);

/// The ids that rows must begin with.
class ForcedPrefix {
 public:
  /// prefix: [B, C] filled with `pad`; undefined: none.
  ForcedPrefix(const Tensor& prefix, int64_t pad, int64_t max_len);
  /// Whether step t is one of a prefix, be it that of another row.
  bool covers(int64_t t) const { return t < columns_; }
  /// The id that row `row` must take at step t; -1: it is free.
  int64_t at(int64_t row, int64_t t) const;
  /// Ids that are not padding.
  int64_t length(int64_t row) const { return lengths_.empty() ? 0 : lengths_[static_cast<size_t>(row)]; }

 private:
  std::vector<std::vector<int64_t>> ids_;
  std::vector<int64_t> lengths_;
  int64_t columns_ = 0, pad_;
};

/// Applies the rules of a step to one row after the other.
class SequenceRules {
 public:
  SequenceRules(const SequenceSearchOptions& options, const GenerationTokens& tokens, const InstructionVocabulary& vocabulary, const ForcedPrefix& prefix,
                int64_t max_len);
  /// Begins step t. logits: [R, V]. trie_only: every row that will be asked for follows the trie before the softmax.
  void begin(const Tensor& logits, int64_t t, bool trie_only);
  /// Whether row `instruction` follows the trie before the softmax at step t.
  bool follows_trie(int64_t instruction, int64_t t) const;
  /// The scores of what comes after `ids` (begin included), whose logits are those of `row`. Valid until the next call; may be
  /// called once a row.
  const NextScores& scores(int64_t row, int64_t instruction, const std::vector<int64_t>& ids, int64_t trie_node);

 private:
  NextScores& listed(int64_t row, int64_t trie_node);
  NextScores& unlisted(int64_t row, int64_t trie_node);

  const SequenceSearchOptions& options_;
  GenerationTokens tokens_;
  int64_t unknown_;
  const ForcedPrefix& prefix_;
  int64_t max_len_, t_ = 0, vocabulary_ = 0;
  bool ranged_ = false;
  int64_t from_ = 0, to_ = 0;     // the range
  std::vector<int64_t> in_range_;  // ids whose log-probabilities are the columns of whole_; empty: all
  Tensor logits_, whole_;
  std::vector<float> few_;
  std::unique_ptr<NextScores> view_;
};

}  // namespace vlm
