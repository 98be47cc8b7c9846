#pragma once
/// How well questions are answered that are worded alike: "is this a picture of the kind "fish"?" and "… "tree"?" are one wording.

#include <cstdint>
#include <string>
#include <vector>

namespace vlm {

struct AnsweredQuestion {
  std::string question, answer;
  std::vector<std::string> references;  ///< what people answered; the commonest of them counts, the first one on ties
};

struct WordingAccuracy {
  std::string wording;               ///< what stands between double quotes is "…"
  int64_t questions = 0;
  double accuracy = 0;               ///< share whose answer equals the reference, ignoring case
  std::string commonest;             ///< the reference that most of them have, the first one on ties
  double commonest_share = 0;        ///< what always saying that would reach
};

/// Wordings by their number of questions, the commonest first; those with fewer than `least` questions are left out.
std::vector<WordingAccuracy> accuracy_by_wording(const std::vector<AnsweredQuestion>& questions, int64_t least = 1);

}  // namespace vlm
