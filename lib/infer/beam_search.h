#pragma once
/// Beam search with the scoring and stopping rules of transformers (specs: clip, 7.2).

#include "vlm/infer/generate.h"
#include "vlm/infer/logits.h"

namespace vlm {

/// As generate() with beams > 1; `longest`: ids in all.
Generated beam_search(DecoderState& state, const Tensor& prompt, const Tensor& prompt_mask, const GenerationTokens& tokens, const GenerateOptions& options,
                      int64_t longest);

/// The rows of [B, L] ids, and back with rows filled up.
std::vector<TokenRow> rows_of(const Tensor& ids);
Tensor padded(const std::vector<TokenRow>& rows, int64_t fill);

}  // namespace vlm
