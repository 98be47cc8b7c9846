#pragma once
/// Beam search with the rules of mPLUG's text generator (specs: mplug, 3.6): a search ends when the best beam does; a beam that ended
/// below it goes on being extended behind its end and may be kept again. GenerateOptions::rules "mplug".

#include "vlm/infer/generate.h"
#include "vlm/infer/logits.h"

namespace vlm {

struct RankedText {
  TokenRow ids;     ///< prompt, text, end; with ids behind an end where a beam went on
  float score = 0;  ///< sum of log-probabilities / ((5 + ids after the prompt) / 6)^length_penalty, when it was kept
};

/// The n_best texts of each picture, best first. options: beams, min_new_tokens, length_penalty (mPLUG: 0.6), and what
/// infer/logits.h applies. steps: ids beyond the prompt at most. `state` has seen nothing and has a row for each row of the prompt.
std::vector<std::vector<RankedText>> mplug_search(DecoderState& state, const Tensor& prompt, const Tensor& prompt_mask, const GenerationTokens& tokens,
                                                  const GenerateOptions& options, int64_t steps, int64_t n_best = 1);

}  // namespace vlm
