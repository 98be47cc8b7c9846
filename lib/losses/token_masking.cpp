#include "vlm/losses/token_masking.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/where.h>

#include <algorithm>

#include "vlm/core/error.h"

namespace vlm {

namespace token_masking {

Tensor chances(int64_t rows, int64_t length, double probability, SplitMix64& random) {
  Tensor out = at::empty({rows, length}, at::kBool);
  bool* values = out.mutable_data_ptr<bool>();
  for (int64_t i = 0; i < rows * length; ++i) values[i] = random.chance(probability);
  return out;
}

}  // namespace token_masking

MaskedTokens mask_tokens(const Tensor& input_ids, const TokenMaskDraws& draws, const TokenMaskOptions& options) {
  for (const Tensor* draw : {&draws.select, &draws.replace, &draws.randomise, &draws.random_ids}) {
    if (draw->sizes() != input_ids.sizes()) fail("masking tokens of ", input_ids.sizes(), " takes draws of that shape, not ", draw->sizes());
  }
  Tensor chosen = draws.select.to(at::kBool);
  for (const int64_t id : options.exclude) chosen = chosen.logical_and(input_ids.ne(id));
  MaskedTokens out;
  out.labels = input_ids.masked_fill(chosen.logical_not(), options.ignore);
  const Tensor masked = chosen.logical_and(draws.replace.to(at::kBool));
  const Tensor randomised = chosen.logical_and(masked.logical_not()).logical_and(draws.randomise.to(at::kBool));
  out.input_ids = at::where(randomised, draws.random_ids, input_ids.masked_fill(masked, options.mask_id));
  return out;
}

TokenMaskDraws draw_token_mask(int64_t rows, int64_t length, const TokenMaskOptions& options, SplitMix64& random) {
  if (options.vocab_size < 1) fail("masking tokens needs a vocabulary to draw from; vocab_size is ", options.vocab_size);
  const double rest = 1 - options.replace_probability;
  TokenMaskDraws out;
  out.select = token_masking::chances(rows, length, options.probability, random);
  out.replace = token_masking::chances(rows, length, options.replace_probability, random);
  out.randomise = token_masking::chances(rows, length, rest > 0 ? options.random_probability / rest : 0, random);
  out.random_ids = at::empty({rows, length}, at::kLong);
  auto* ids = out.random_ids.mutable_data_ptr<int64_t>();
  std::generate(ids, ids + rows * length, [&] { return static_cast<int64_t>(random.below(static_cast<uint64_t>(options.vocab_size))); });
  return out;
}

MaskedTokens mask_tokens(const Tensor& input_ids, const TokenMaskOptions& options, SplitMix64& random) {
  if (input_ids.dim() != 2) fail("masking takes ids [B, L], not ", input_ids.sizes());
  return mask_tokens(input_ids, draw_token_mask(input_ids.size(0), input_ids.size(1), options, random), options);
}

}  // namespace vlm
