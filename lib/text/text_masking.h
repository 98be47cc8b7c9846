#pragma once
/// Shorter texts for training: which ids of a text that is too long are kept (CLIPA, arXiv 2305.07017; specs: clip, 10.1).

#include <cstdint>
#include <string_view>
#include <vector>

#include "vlm/core/rng.h"
#include "vlm/text/tokenizer.h"

namespace vlm {

enum class TextMask {
  truncate,  ///< the first ones
  simple,    ///< a window at a random place
  random,    ///< a random choice in its old order
  shuffle,   ///< a random choice in random order
};

/// By its name above; throws a usage error that lists the names.
TextMask text_mask_named(std::string_view name);

/// The window of `keep` ids from `start` on. Throws if it does not lie inside.
std::vector<int64_t> mask_window(const std::vector<int64_t>& ids, int64_t keep, int64_t start);
/// The ids at the first `keep` places of `permutation` (0 .. n-1 in any order), in their old order or in the permutation's.
std::vector<int64_t> mask_permuted(const std::vector<int64_t>& ids, int64_t keep, std::vector<int64_t> permutation, bool keep_order);

/// At most `keep` of `ids`; texts that fit stay as they are.
std::vector<int64_t> mask_text(const std::vector<int64_t>& ids, int64_t keep, TextMask mask, SplitMix64& random);
/// As Tokenizer::encode_padded, with the text masked to what fits between bos and eos.
std::vector<int64_t> encode_masked(const Tokenizer& tokenizer, std::string_view text, int64_t context_length, TextMask mask,
                                   SplitMix64& random);

}  // namespace vlm
