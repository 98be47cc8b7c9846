#pragma once
/// Counts of the n-grams of a token string, shared by BLEU and CIDEr.

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace vlm {

/// One table for each length 1 .. n; the words of an n-gram are joined by one space.
struct Ngrams {
  int64_t words = 0;
  std::vector<std::unordered_map<std::string, int64_t>> counts;
};

/// Words are what white space separates, U+00A0 included. Throws if n < 1.
Ngrams count_ngrams(std::string_view text, int64_t n);

}  // namespace vlm
