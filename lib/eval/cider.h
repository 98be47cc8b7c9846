#pragma once
/// CIDEr and CIDEr-D (Vedantam et al., arXiv 1411.5726; specs: eval, 3).

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "vlm/eval/caption_item.h"

namespace vlm {

/// In how many items' references each n-gram occurs.
struct DocumentFrequency {
  double items = 0;
  std::unordered_map<std::string, double> of;  ///< words joined by one space

  /// {"df": {"a dog": 12, …}, "ref_len": items}, in order of n-grams.
  nlohmann::json to_json() const;
};

/// references: of each item, as token strings. Throws if there is no item.
DocumentFrequency count_document_frequency(const std::vector<std::vector<std::string>>& references, int64_t n = 4);
/// Writes DocumentFrequency::to_json() whole or not at all. Malformed UTF-8 becomes U+FFFD.
void write_document_frequency(const std::filesystem::path& file, const DocumentFrequency& frequency);
/// A file of DocumentFrequency::to_json() (`vlm data ngrams` makes one); "document_frequency" may stand for "df". Throws if it is none.
DocumentFrequency read_document_frequency(const std::filesystem::path& file);
/// The same, already parsed; `name` is what messages call it.
DocumentFrequency parse_document_frequency(const nlohmann::json& json, const std::string& name);

struct CiderOptions {
  bool d = true;        ///< CIDEr-D: counts are clipped to the reference's, and differing lengths cost
  int64_t n = 4;
  double sigma = 6;     ///< width of the penalty on lengths, in words
};

/// Scores of 0 .. 10 (papers print CIDEr-D times 100). What coco-caption prints as "CIDEr" is CIDEr-D. Frequencies are those
/// of the items' own references unless others are given; with a single item of its own all weights are zero, and so is the
/// score. Throws if an item has no reference.
CaptionScores cider(const std::vector<CaptionItem>& items, const CiderOptions& options = {},
                    const DocumentFrequency* frequency = nullptr);

}  // namespace vlm
