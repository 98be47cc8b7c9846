#pragma once
/// What OFA is taught as ids: instructions with their replies, and batches of them as tensors (specs: ofa, 5).

#include <cstdint>
#include <vector>

#include "vlm/models/generator.h"

namespace vlm {

class OfaVocabulary;
class TokenTrie;

/// A reply that is taught: what stands before each position, and what is to come there.
struct OfaReply {
  std::vector<int64_t> previous, target;  ///< equally many; the target is padding where nothing is scored
  double weight = 1;                      ///< log-probabilities are multiplied by it (how sure an answer is)
  size_t begin = 0;                       ///< where in `target` the answer begins, behind a prompt
};

/// An instruction and what is taught to be its replies.
struct OfaExample {
  std::vector<int64_t> source;  ///< begin, text, end
  std::vector<OfaReply> replies;
  int64_t picture = -1;         ///< row of the batch's pictures; -1: texts alone
  bool codes = false;           ///< the replies are codes of a picture
};

/// Examples as tensors.
struct OfaRows {
  Instruction instruction;     ///< no pixels yet
  Tensor picture;              ///< [B], int64: rows of the batch's pictures
  Tensor previous, target;     ///< [R, T], int64, R = B K: all instructions have as many replies as the one with most
  Tensor weight;               ///< [R], float32
  Tensor kept;                 ///< [N], int64: rows that are no filling; undefined: all
  Tensor allowed;              ///< [R, T, V], bool: ids of the closed set (positions that are not scored: all); undefined: any
};

/// `trie`: the closed set, or null.
OfaRows collate(const std::vector<OfaExample>& examples, const OfaVocabulary& vocabulary, const TokenTrie* trie, const c10::Device& device);

}  // namespace vlm
