#include "vlm/eval/yes_no.h"

#include <algorithm>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"

namespace vlm {

bool says_yes(const std::string& answer) {
  std::string text = answer.substr(0, answer.find('.'));
  text.erase(std::remove(text.begin(), text.end(), ','), text.end());
  for (const auto& word : split(text, " ")) {
    if (word == "No" || word == "no" || word == "not") return false;
  }
  return true;
}

YesNoScores yes_no_scores(const std::vector<std::string>& answers, const std::vector<std::string>& labels) {
  if (answers.size() != labels.size() || answers.empty()) {
    fail("yes or no: ", answers.size(), " answers for ", labels.size(), " labels; there must be as many, and at least one");
  }
  YesNoScores out;
  for (size_t i = 0; i < answers.size(); ++i) {
    const bool yes = says_yes(answers[i]), positive = labels[i] != "no";
    out.true_positives += yes && positive;
    out.false_positives += yes && !positive;
    out.true_negatives += !yes && !positive;
    out.false_negatives += !yes && positive;
  }
  const auto ratio = [&](const char* name, double part, double whole) {
    if (whole == 0) out.undefined.emplace_back(name);
    return whole == 0 ? 0 : part / whole;
  };
  const auto hits = static_cast<double>(out.true_positives), count = static_cast<double>(answers.size());
  out.accuracy = (hits + static_cast<double>(out.true_negatives)) / count;
  out.precision = ratio("precision", hits, hits + static_cast<double>(out.false_positives));
  out.recall = ratio("recall", hits, hits + static_cast<double>(out.false_negatives));
  out.f1 = ratio("f1", 2 * out.precision * out.recall, out.precision + out.recall);
  out.yes_ratio = (hits + static_cast<double>(out.false_positives)) / count;
  return out;
}

}  // namespace vlm
