#include "vlm/text/text_masking.h"

#include <algorithm>
#include <string>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"

namespace vlm {

TextMask text_mask_named(std::string_view name) {
  if (name == "truncate") return TextMask::truncate;
  if (name == "simple") return TextMask::simple;
  if (name == "random") return TextMask::random;
  if (name == "shuffle") return TextMask::shuffle;
  if (name == "syntax")
    fail_usage(
        "text masking 'syntax' needs a part-of-speech tagger, which this build does not have; take simple, random or "
        "shuffle");
  fail_usage("unknown text masking '", name, "'", did_you_mean(name, {"truncate", "simple", "random", "shuffle"}),
             "; there are: truncate, simple, random, shuffle");
}

std::vector<int64_t> mask_window(const std::vector<int64_t>& ids, int64_t keep, int64_t start) {
  const auto size = static_cast<int64_t>(ids.size());
  if (keep < 0 || start < 0 || start > size - keep)
    fail("a window of ", keep, " ids from ", start, " on does not lie in ", size, " ids");
  return {ids.begin() + start, ids.begin() + start + keep};
}

std::vector<int64_t> mask_permuted(const std::vector<int64_t>& ids, int64_t keep, std::vector<int64_t> permutation,
                                   bool keep_order) {
  const auto size = static_cast<int64_t>(ids.size());
  if (keep < 0 || keep > size) fail("cannot keep ", keep, " of ", size, " ids");
  if (static_cast<int64_t>(permutation.size()) < keep)
    fail("a permutation of ", permutation.size(), " places cannot choose ", keep, " ids");
  permutation.resize(static_cast<size_t>(keep));
  if (keep_order) std::sort(permutation.begin(), permutation.end());
  std::vector<int64_t> out;
  for (const int64_t place : permutation) {
    if (place < 0 || place >= size) fail("place ", place, " of a permutation of ", size, " ids");
    out.push_back(ids[static_cast<size_t>(place)]);
  }
  return out;
}

std::vector<int64_t> mask_text(const std::vector<int64_t>& ids, int64_t keep, TextMask mask, SplitMix64& random) {
  const auto size = static_cast<int64_t>(ids.size());
  if (size <= keep) return ids;
  switch (mask) {
    case TextMask::truncate: return mask_window(ids, keep, 0);
    case TextMask::simple:
      return mask_window(ids, keep, static_cast<int64_t>(random.below(static_cast<uint64_t>(size - keep + 1))));
    case TextMask::random: return mask_permuted(ids, keep, permutation(size, random.next()), true);
    case TextMask::shuffle: return mask_permuted(ids, keep, permutation(size, random.next()), false);
  }
  return ids;
}

std::vector<int64_t> encode_masked(const Tokenizer& tokenizer, std::string_view text, int64_t context_length, TextMask mask,
                                   SplitMix64& random) {
  const SpecialIds& specials = tokenizer.specials();
  const int64_t keep = std::max<int64_t>(0, context_length - (specials.bos >= 0) - (specials.eos >= 0));
  auto ids = tokenizer.with_specials(mask_text(tokenizer.encode(text), keep, mask, random), context_length);
  ids.resize(static_cast<size_t>(context_length), specials.pad);
  return ids;
}

}  // namespace vlm
