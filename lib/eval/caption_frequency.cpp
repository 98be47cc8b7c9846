#include "vlm/eval/caption_frequency.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/data/source_scan.h"
#include "vlm/eval/caption_reward.h"
#include "vlm/eval/ptb_tokenizer.h"
#include "vlm/eval/sample_stream.h"

namespace vlm {

CaptionSentences caption_sentences_of(const std::string& objective) {
  if (objective == "caption_scst") return CaptionSentences::metric;
  if (objective == "ofa_scst") return CaptionSentences::reward;
  fail_usage("n-grams are counted for the objectives caption_scst and ofa_scst, not '", objective, "'");
}

const char* scst_objective_of(CaptionSentences sentences) { return sentences == CaptionSentences::metric ? "caption_scst" : "ofa_scst"; }

CaptionSentences counted_sentences(const DocumentFrequency& frequency) {
  return frequency.of.count(reward_end) > 0 ? CaptionSentences::reward : CaptionSentences::metric;
}

std::vector<int64_t> CaptionFrequency::lengths() const {
  std::vector<int64_t> out;
  for (const auto& [gram, count] : frequency.of) {
    const auto words = static_cast<size_t>(std::count(gram.begin(), gram.end(), ' ')) + 1;
    if (out.size() < words) out.resize(words);
    ++out[words - 1];
  }
  return out;
}

nlohmann::ordered_json CaptionFrequency::to_json() const {
  auto counts = nlohmann::ordered_json::object();
  for (const auto& [reason, count] : reasons) counts[reason] = count;
  return {{"pictures", static_cast<int64_t>(frequency.items)},
          {"captions", captions},
          {"ngrams", lengths()},
          {"skipped", skipped},
          {"reasons", counts}};
}

CaptionFrequency count_caption_frequency(const std::vector<std::unique_ptr<Source>>& sources, const CaptionFrequencyOptions& options) {
  CaptionFrequency out;
  const auto skip = [&](const SampleError& error) {
    if (options.strict) throw error;
    ++out.skipped;
    ++out.reasons[error.reason()];
  };
  ScanOptions scan;
  scan.pictures = ScanOptions::Pictures::none;
  scan.threads = options.threads;
  scan.label = "n-grams";
  std::vector<std::vector<std::string>> sentences;  // of each picture
  std::vector<std::string> names;
  for (const auto& source : sources) {
    names.push_back(source->name());
    std::unordered_map<std::string, size_t> place_of;
    for (const auto& problem : source->problems()) skip(problem);
    scan_source(*source, scan, [&](ScannedSample&& scanned) {
      const Sample& sample = scanned.sample;
      if (scanned.error || sample.captions.empty()) {
        skip(scanned.error ? *scanned.error : SampleError("no_caption", sample.place()));
        return true;
      }
      // Keys of shards come again in other shards; each sample there is a picture.
      const std::string picture = sample.fields.empty() ? picture_of(sample) : std::to_string(scanned.number);
      const size_t place = place_of.emplace(picture, sentences.size()).first->second;
      if (place == sentences.size()) sentences.emplace_back();
      for (const auto& caption : sample.captions) {
        sentences[place].push_back(options.sentences == CaptionSentences::metric ? caption_tokens(caption) : reward_sentence(caption));
        ++out.captions;
      }
      return true;
    });
  }
  if (sentences.empty()) {
    std::vector<std::string> reasons;
    for (const auto& [reason, count] : out.reasons) reasons.push_back(concat(reason, "=", count));
    fail(join(names, ", "), ": no captions", reasons.empty() ? "" : " (" + join(reasons, ", ") + ")",
         "; which part of a data set and which of its fields are read is said as for training (vlm data stats shows what there is)");
  }
  out.frequency = count_document_frequency(sentences, options.n);
  return out;
}

}  // namespace vlm
