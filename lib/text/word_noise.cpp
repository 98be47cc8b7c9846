#include "vlm/text/word_noise.h"

#include <cmath>
#include <sstream>
#include <utility>
#include <vector>

#include "vlm/core/strings.h"

namespace vlm {

std::string noisy_words(std::string_view text, const WordNoiseOptions& options, SplitMix64& random) {
  std::vector<std::string> words;
  std::istringstream stream{std::string(text)};
  for (std::string word; stream >> word;) words.push_back(word);
  if (words.size() < 2) return std::string(text);
  const auto swaps = static_cast<int64_t>(std::llround(options.swap_words * static_cast<double>(words.size())));
  for (int64_t i = 0; i < swaps; ++i) std::swap(words[random.below(words.size())], words[random.below(words.size())]);
  std::vector<std::string> kept;
  for (const auto& word : words) {
    if (!random.chance(options.delete_words)) kept.push_back(word);
  }
  if (kept.empty()) kept.push_back(words[random.below(words.size())]);
  return join(kept, " ");
}

}  // namespace vlm
