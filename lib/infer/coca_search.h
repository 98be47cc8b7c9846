#pragma once
/// CoCa's own generation as in open_clip 3.x (specs: clip, 7.3): beam search in groups over sums of raw logits, and sampling
/// that forces the end. Kept for those who reproduce captions of that version; generate() is the default everywhere.

#include "vlm/infer/generate.h"

namespace vlm {

struct CocaSearchOptions {
  std::string type = "beam_search";  ///< beam_search, top_k or top_p
  int64_t seq_len = 30, min_seq_len = 5;
  int64_t beams = 6, beam_groups = 3;
  double temperature = 1.0, top_p = 0.1, repetition_penalty = 1.0;
  int64_t top_k = 1, seed = 0;
  bool fixed_output_length = false;
};

/// prompt: [B, P]. Returns ids [B, L], the prompt included.
Tensor coca_search(DecoderState& state, const Tensor& prompt, const GenerationTokens& tokens, const CocaSearchOptions& options);

}  // namespace vlm
