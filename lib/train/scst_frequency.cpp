#include "vlm/train/scst_frequency.h"

#include "vlm/core/error.h"

namespace vlm {

std::optional<DocumentFrequency> scst_frequency(const std::string& option, CaptionSentences sentences) {
  const std::string objective = scst_objective_of(sentences);
  const std::string command = "vlm data ngrams CAPTIONS --for " + objective + " --out FILE";
  if (option.empty()) {
    fail_usage("objective.options.document_frequency is missing: a file of n-gram frequencies of the training captions, made by: ",
               command, " (or corpus: the frequencies of each batch)");
  }
  if (option == "corpus") return std::nullopt;
  DocumentFrequency frequency = read_document_frequency(option);
  if (counted_sentences(frequency) != sentences) {
    fail_usage(option, " (objective.options.document_frequency) was counted for the objective ",
               scst_objective_of(counted_sentences(frequency)), ", whose sentences are others; that for ", objective, " is made by: ", command);
  }
  return frequency;
}

}  // namespace vlm
