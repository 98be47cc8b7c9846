#pragma once
/// Accuracy of free answers against those of several people (VQA, arXiv 1505.00468; specs: eval, 5).

#include <map>
#include <string>
#include <vector>

namespace vlm {

/// Two evaluations are in use, which normalise different sides.
enum class VqaVariant {
  official,  ///< both sides fully, but only where the answers differ among themselves
  albef,     ///< the prediction always and fully, the answers' punctuation only, where they differ (ALBEF, TCL, mPLUG)
};

/// By its name above; throws a usage error that lists the names.
VqaVariant vqa_variant_named(const std::string& name);

struct VqaQuestion {
  std::string id;  ///< for messages
  std::string prediction;
  std::vector<std::string> answers;  ///< at least one; ten in VQAv2
  std::string question_type, answer_type;
};

/// In percent, rounded to some decimals, as the benchmark prints them.
struct VqaAccuracy {
  double overall = 0;
  std::vector<double> per_question;
  std::map<std::string, double> per_question_type, per_answer_type;
};

/// For each answer: min(1, how many of the others equal the prediction / 3); the mean of these over the answers, and over
/// questions. Throws if there is no question, or one has no answers.
VqaAccuracy vqa_accuracy(const std::vector<VqaQuestion>& questions, VqaVariant variant = VqaVariant::official, int decimals = 2);

/// Share of questions whose prediction, normalised, equals one of the answers, normalised; 0 .. 1.
double vqa_exact_match(const std::vector<VqaQuestion>& questions);

}  // namespace vlm
