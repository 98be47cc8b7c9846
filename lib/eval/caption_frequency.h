#pragma once
/// In how many pictures of data sets each n-gram of their captions occurs: what CIDEr-D weighs by in self-critical training (specs:
/// eval, 3; ofa, 6.4). Behind `vlm data ngrams`.

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "vlm/data/source.h"
#include "vlm/eval/cider.h"

namespace vlm {

/// What a caption is made into before its n-grams are counted. metric: caption_tokens(), as in coco-caption's metrics and the objective
/// caption_scst. reward: reward_sentence(), as in the objective ofa_scst: case is kept, and a word of its own stands at the end.
enum class CaptionSentences { metric, reward };

/// What an objective counts: that of "caption_scst" or "ofa_scst". A usage error for another name.
CaptionSentences caption_sentences_of(const std::string& objective);
/// The objective that counts so.
const char* scst_objective_of(CaptionSentences sentences);
/// How the sentences were made that were counted, by the word at their end.
CaptionSentences counted_sentences(const DocumentFrequency& frequency);

struct CaptionFrequencyOptions {
  CaptionSentences sentences = CaptionSentences::metric;
  int64_t n = 4;         ///< longest n-gram, in words
  bool strict = false;   ///< the first sample that cannot be used is thrown on
  int64_t threads = 0;   ///< that read; 0: one for each core
};

struct CaptionFrequency {
  DocumentFrequency frequency;
  int64_t captions = 0, skipped = 0;
  std::map<std::string, int64_t> reasons;  ///< why samples were skipped

  /// Distinct n-grams of each length, from 1 on.
  std::vector<int64_t> lengths() const;
  /// pictures, captions, ngrams (by length), skipped, reasons.
  nlohmann::ordered_json to_json() const;
};

/// Samples of one picture (an entry for each caption) are one item; pictures of different data sets are different ones. Samples
/// without captions are skipped; pictures are not read. Throws if there is no caption at all.
CaptionFrequency count_caption_frequency(const std::vector<std::unique_ptr<Source>>& sources, const CaptionFrequencyOptions& options = {});

}  // namespace vlm
