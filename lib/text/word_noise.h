#pragma once
/// A text that says nearly the same: words left out and exchanged (two of the four operations of EDA, arXiv 1901.11196; synonyms,
/// which the others need, are not here).

#include <string>
#include <string_view>

#include "vlm/core/config.h"
#include "vlm/core/rng.h"

namespace vlm {

struct WordNoiseOptions {
  double delete_words = 0.1;
  double swap_words = 0.1;

  void fields(Fields& f) {
    f.field("delete_words", delete_words, "share of the words that is left out");
    f.field("swap_words", swap_words, "pairs of words that change places, as a share of the words");
  }
};

/// Words are what white space separates; at least one stays. Safe to call from several threads, each with its own stream.
std::string noisy_words(std::string_view text, const WordNoiseOptions& options, SplitMix64& random);

}  // namespace vlm
