#pragma once
/// What self-critical training rewards captions with: CIDEr-D on sentences that end in a word of their own, so that a caption
/// which stops too early scores worse (specs: ofa, 6.4; objectives, 3.4).

#include <string>
#include <string_view>
#include <vector>

#include "vlm/eval/cider.h"

namespace vlm {

/// The word that ends every sentence.
constexpr const char* reward_end = "<eos>";

/// Without ASCII punctuation, stripped, " <eos>" behind. Case is kept, words are what white space separates.
std::string reward_sentence(std::string_view caption);

/// Frequencies in which every reference is a reward_sentence(): those of a training set. references: of each picture.
DocumentFrequency count_reward_frequency(const std::vector<std::vector<std::string>>& references, int64_t n = 4);

/// Scores of captions, 0 .. 10. caption i is of the picture picture[i], whose references are references[picture[i]].
/// frequency: of sentences as reward_sentence() makes them; null: those of the references of this call, where a picture counts
/// once for each of its captions (for tests). Throws if a picture has no reference or a number is none of a picture.
std::vector<double> caption_rewards(const std::vector<std::string>& captions, const std::vector<std::vector<std::string>>& references,
                                    const std::vector<int64_t>& picture, const DocumentFrequency* frequency = nullptr,
                                    const CiderOptions& options = {});

}  // namespace vlm
