#include "vlm/eval/vqa_accuracy.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "vlm/core/error.h"
#include "vlm/eval/vqa_normalize.h"
#include "vlm/text/unicode.h"

namespace vlm {

namespace vqa {

std::string one_line(const std::string& text) {
  std::string out = text;
  std::replace(out.begin(), out.end(), '\n', ' ');
  std::replace(out.begin(), out.end(), '\t', ' ');
  return std::string(strip(out));
}

void check(const std::vector<VqaQuestion>& questions) {
  if (questions.empty()) fail("VQA accuracy: there is no question");
  for (const auto& question : questions) {
    if (question.answers.empty()) fail("VQA accuracy: question '", question.id, "' has no answers");
  }
}

double accuracy(const VqaQuestion& question, VqaVariant variant) {
  std::string prediction = one_line(question.prediction);
  std::vector<std::string> answers = question.answers;
  if (variant == VqaVariant::official) {
    for (auto& answer : answers) answer = one_line(answer);
  } else {
    prediction = vqa_normalize(prediction);
  }
  if (std::any_of(answers.begin(), answers.end(), [&](const auto& answer) { return answer != answers[0]; })) {
    if (variant == VqaVariant::official) prediction = vqa_normalize(prediction);
    for (auto& answer : answers) answer = variant == VqaVariant::official ? vqa_normalize(answer) : vqa_without_punctuation(answer);
  }
  const auto equal = std::count(answers.begin(), answers.end(), prediction);
  double sum = 0;
  for (const auto& answer : answers) sum += std::min(1.0, static_cast<double>(equal - (answer == prediction)) / 3);
  return sum / static_cast<double>(answers.size());
}

/// In percent. Printing rounds the exact value, ties to even, which is how the benchmark's numbers are rounded.
double percent(double share, int decimals) {
  char text[400];
  std::snprintf(text, sizeof text, "%.*f", decimals, 100 * share);
  return std::strtod(text, nullptr);
}

struct Mean {
  double sum = 0;
  int64_t count = 0;
  void add(double value) {
    sum += value;
    ++count;
  }
  double share() const { return sum / static_cast<double>(count); }
};

std::map<std::string, double> percents(const std::map<std::string, Mean>& means, int decimals) {
  std::map<std::string, double> out;
  for (const auto& [type, mean] : means) out[type] = percent(mean.share(), decimals);
  return out;
}

}  // namespace vqa

VqaVariant vqa_variant_named(const std::string& name) {
  if (name == "official") return VqaVariant::official;
  if (name == "albef") return VqaVariant::albef;
  fail_usage("unknown variant of VQA accuracy '", name, "'; there are official and albef");
}

VqaAccuracy vqa_accuracy(const std::vector<VqaQuestion>& questions, VqaVariant variant, int decimals) {
  vqa::check(questions);
  if (decimals < 0 || decimals > 15) fail("VQA accuracy: cannot round to ", decimals, " decimals");
  VqaAccuracy out;
  vqa::Mean overall;
  std::map<std::string, vqa::Mean> question_types, answer_types;
  for (const auto& question : questions) {
    const double accuracy = vqa::accuracy(question, variant);
    overall.add(accuracy);
    question_types[question.question_type].add(accuracy);
    answer_types[question.answer_type].add(accuracy);
    out.per_question.push_back(vqa::percent(accuracy, decimals));
  }
  out.overall = vqa::percent(overall.share(), decimals);
  out.per_question_type = vqa::percents(question_types, decimals);
  out.per_answer_type = vqa::percents(answer_types, decimals);
  return out;
}

double vqa_exact_match(const std::vector<VqaQuestion>& questions) {
  vqa::check(questions);
  vqa::Mean mean;
  for (const auto& question : questions) {
    const std::string prediction = vqa_normalize(question.prediction);
    mean.add(std::any_of(question.answers.begin(), question.answers.end(),
                         [&](const auto& answer) { return vqa_normalize(answer) == prediction; }));
  }
  return mean.share();
}

}  // namespace vlm
