#pragma once
/// Hidden tokens for masked language modelling (BERT, arXiv 1810.04805, 3.1; specs: objectives, 1.1; alignment, 2.5; mplug, 2 MLM).

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "vlm/core/rng.h"

namespace vlm {

using at::Tensor;

struct TokenMaskOptions {
  double probability = 0.15;          ///< of a token to be chosen
  double replace_probability = 0.8;   ///< of a chosen one to become the mask
  double random_probability = 0.1;    ///< of a chosen one to become a random id
  int64_t mask_id = 103, vocab_size = 30522;
  std::vector<int64_t> exclude = {0, 101};  ///< ids that are never chosen: padding and [CLS]; [SEP] can be, as in ALBEF
  int64_t ignore = -100;
};

/// What chance says of each place: [B, L], bool (or 0 and 1), and ids. `randomise` is asked only where a chosen token did not become
/// the mask.
struct TokenMaskDraws {
  Tensor select, replace, randomise, random_ids;
};

struct MaskedTokens {
  Tensor input_ids;  ///< [B, L], int64
  Tensor labels;     ///< [B, L], int64: what stood where a token was chosen, `ignore` elsewhere
};

/// input_ids: [B, L], int64, on any device, that of the draws as well. No row is made to have a chosen token.
MaskedTokens mask_tokens(const Tensor& input_ids, const TokenMaskDraws& draws, const TokenMaskOptions& options = {});

/// Draws for ids [rows, length]: all of select, all of replace, all of randomise (with random / (1 - replace)), all random ids of the
/// whole vocabulary, row by row each.
TokenMaskDraws draw_token_mask(int64_t rows, int64_t length, const TokenMaskOptions& options, SplitMix64& random);

/// Both: input_ids on the CPU.
MaskedTokens mask_tokens(const Tensor& input_ids, const TokenMaskOptions& options, SplitMix64& random);

}  // namespace vlm
