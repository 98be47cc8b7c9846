#include "vlm/eval/rouge.h"

#include <algorithm>

#include "vlm/core/strings.h"

namespace vlm {

namespace rouge {

double common_subsequence(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  std::vector<int64_t> row(b.size() + 1);
  for (const auto& word : a) {
    int64_t diagonal = 0;
    for (size_t j = 0; j < b.size(); ++j) {
      const int64_t above = row[j + 1];
      row[j + 1] = word == b[j] ? diagonal + 1 : std::max(above, row[j]);
      diagonal = above;
    }
  }
  return static_cast<double>(row.back());
}

}  // namespace rouge

CaptionScores rouge_l(const std::vector<CaptionItem>& items, double beta) {
  check_captions(items, "ROUGE-L");
  CaptionScores out;
  for (const auto& item : items) {
    const auto candidate = split(item.candidate, " ");
    double precision = 0, recall = 0;
    for (const auto& text : item.references) {
      const auto reference = split(text, " ");
      const double common = rouge::common_subsequence(candidate, reference);
      precision = std::max(precision, common / static_cast<double>(candidate.size()));
      recall = std::max(recall, common / static_cast<double>(reference.size()));
    }
    const double square = beta * beta;
    out.per_item.push_back(precision == 0 || recall == 0 ? 0 : (1 + square) * precision * recall / (recall + square * precision));
    out.corpus += out.per_item.back() / static_cast<double>(items.size());
  }
  return out;
}

}  // namespace vlm
