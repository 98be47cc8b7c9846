#pragma once
/// Scores of every answer of a closed set ("all candidates"; specs: ofa, 7): how VQA, SNLI-VE and classification are evaluated.

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "vlm/core/config.h"
#include "vlm/infer/token_trie.h"
#include "vlm/models/generator.h"

namespace vlm {

struct CandidateOptions {
  /// Answers that begin alike share the decoder's work on their beginning, and the prompt is read once: token by token, with the
  /// decoder's cache. False: every answer in one pass of its own, behind its own copy of the prompt, as the reference does.
  bool share_beginnings = true;
  double max_megabytes = 256;  ///< of logits at a time, which decides how many answers are looked at together (at least one)

  void fields(Fields& f);
};

struct CandidateScores {
  Tensor scores;  ///< [B, A], float32: sums of log-probabilities of the answer's ids and the end
  Tensor best;    ///< [B], int64: the answer with the largest score, the first one on ties
};

/// Each id's log-probability is taken among those that some answer allows at its place. The prompt's ids do not count.
/// prompts: one for each row of `encoded`, begin included, not padded. answers: without begin and end.
/// Throws a usage error for an empty set of answers or ids that the model does not have.
CandidateScores score_candidates(Instructed& model, const std::shared_ptr<const EncodedInstruction>& encoded, const std::vector<std::vector<int64_t>>& prompts,
                                 const std::vector<std::vector<int64_t>>& answers, const CandidateOptions& options = {});

}  // namespace vlm
