#pragma once
/// Search for texts over a decoder: greedy, beam, and sampling (top-k, nucleus: Holtzman et al., arXiv 1904.09751).
/// The rules are those of transformers' generate() (specs: clip, 7.1 and 7.2), so that results agree id by id; models that come with
/// rules of their own say so (UsualSearch).

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "vlm/core/config.h"
#include "vlm/models/generator.h"

namespace vlm {

/// Which ids may follow the ids so far (the prompt is not among them). An empty answer allows only the end.
using AllowedIds = std::function<std::span<const int64_t>(const std::vector<int64_t>&)>;

/// Allows exactly the given sequences of ids, each followed by `end`: for answers out of a list.
AllowedIds allow_sequences(const std::vector<std::vector<int64_t>>& sequences, int64_t end);

struct GenerateOptions {
  std::string rules = "transformers";  ///< of beam search; mplug: mPLUG's own (infer/mplug_search.h)
  int64_t beams = 1;                   ///< 1: greedy, or sampling
  int64_t max_new_tokens = 20;         ///< ids beyond the prompt
  int64_t max_length = 0;              ///< ids in all, prompt included; takes the place of max_new_tokens where set
  int64_t min_length = 0;              ///< ids in all, prompt included, before the end may come
  int64_t min_new_tokens = 0;          ///< the same, prompt not included
  double length_penalty = 1.0;         ///< hypotheses compete by sum / length^penalty
  double repetition_penalty = 1.0;     ///< scores of ids that occur already are divided (if positive) or multiplied by it
  int64_t no_repeat_ngram = 0;         ///< no n ids come twice in the same order; 0: off
  std::string early_stopping = "false";  ///< true: stop at `beams` finished hypotheses; never: only when none can get better
  bool sample = false;
  double temperature = 1.0;
  int64_t top_k = 0;                   ///< sample among the k best; 0: all
  double top_p = 1.0;                  ///< sample among the smallest set of this probability
  int64_t seed = 0;
  AllowedIds allowed;                  ///< none: everything is

  void fields(Fields& f);
  static GenerateOptions usual(const UsualSearch& search);
  static GenerateOptions beam(int64_t beams, int64_t max_new_tokens) {
    GenerateOptions out;
    out.beams = beams;
    out.max_new_tokens = max_new_tokens;
    return out;
  }
};

struct Generated {
  Tensor ids;                  ///< [B, L], int64: prompt, text, end, then padding
  std::vector<double> scores;  ///< beam search: the hypothesis' score; otherwise the mean log-probability of its ids
};

/// prompt: [B, P], int64; prompt_mask: [B, P], 0 for padding (undefined: none). `state` has seen nothing yet and has B rows.
/// Throws a usage error for options that contradict each other.
Generated generate(DecoderState& state, const Tensor& prompt, const Tensor& prompt_mask, const GenerationTokens& tokens, const GenerateOptions& options);

/// A prompt of `tokens.begin` alone for B rows: [B, 1].
Tensor begin_prompt(int64_t rows, const GenerationTokens& tokens);

}  // namespace vlm
