#include "vlm/eval/ngrams.h"

#include "vlm/core/error.h"
#include "vlm/text/unicode.h"

namespace vlm {

Ngrams count_ngrams(std::string_view text, int64_t n) {
  if (n < 1 || n > 64) fail("n-grams of up to ", n, " words; n must be 1 .. 64");
  const auto words = split_white_space(text);
  Ngrams out;
  out.words = static_cast<int64_t>(words.size());
  out.counts.resize(static_cast<size_t>(n));
  for (size_t first = 0; first < words.size(); ++first) {
    std::string gram;
    for (size_t k = 0; k < out.counts.size() && first + k < words.size(); ++k) {
      if (k) gram += ' ';
      gram += words[first + k];
      out.counts[k][gram] += 1;
    }
  }
  return out;
}

}  // namespace vlm
