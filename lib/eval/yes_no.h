#pragma once
/// Free answers to yes-or-no questions, as POPE evaluates them (arXiv 2305.10355; specs: eval, 6).

#include <cstdint>
#include <string>
#include <vector>

namespace vlm {

/// False if one of the words before the first "." is "No", "no" or "not", commas taken out; true for everything else, an
/// empty text, "NO" and "cannot" included.
bool says_yes(const std::string& answer);

struct YesNoScores {
  int64_t true_positives = 0, false_positives = 0, true_negatives = 0, false_negatives = 0;
  double accuracy = 0, precision = 0, recall = 0, f1 = 0;  ///< 0 where the denominator is 0
  double yes_ratio = 0;
  std::vector<std::string> undefined;  ///< names of the scores whose denominator is 0
};

/// A label "no" is negative, every other one positive. Throws if the numbers of answers and labels differ, or are 0.
YesNoScores yes_no_scores(const std::vector<std::string>& answers, const std::vector<std::string>& labels);

}  // namespace vlm
