#include "vlm/eval/vqa_wordings.h"

#include <algorithm>
#include <map>

#include "vlm/core/strings.h"

namespace vlm {

namespace vqa_wordings {

std::string wording_of(const std::string& question) {
  std::string out;
  size_t at = 0;
  while (true) {
    const size_t open = question.find('"', at), close = open == std::string::npos ? open : question.find('"', open + 1);
    if (close == std::string::npos) return out + question.substr(at);
    out += question.substr(at, open - at) + "\"…\"";
    at = close + 1;
  }
}

/// The first of the commonest, and how often it stands there.
std::pair<std::string, int64_t> commonest_of(const std::vector<std::string>& texts) {
  std::map<std::string, int64_t> counts;
  for (const auto& text : texts) ++counts[text];
  std::pair<std::string, int64_t> best;
  for (const auto& text : texts) {
    if (counts[text] > best.second) best = {text, counts[text]};
  }
  return best;
}

}  // namespace vqa_wordings

std::vector<WordingAccuracy> accuracy_by_wording(const std::vector<AnsweredQuestion>& questions, int64_t least) {
  struct Group {
    std::vector<std::string> references;
    int64_t right = 0;
  };
  std::vector<std::string> order;
  std::map<std::string, Group> groups;
  for (const auto& one : questions) {
    const std::string wording = vqa_wordings::wording_of(one.question);
    if (!groups.count(wording)) order.push_back(wording);
    Group& group = groups[wording];
    const std::string reference = ascii_lower(vqa_wordings::commonest_of(one.references).first);
    group.references.push_back(reference);
    if (ascii_lower(one.answer) == reference) ++group.right;
  }
  std::vector<WordingAccuracy> out;
  for (const auto& wording : order) {
    const Group& group = groups[wording];
    const auto count = static_cast<int64_t>(group.references.size());
    if (count < least) continue;
    const auto [commonest, times] = vqa_wordings::commonest_of(group.references);
    out.push_back({wording, count, static_cast<double>(group.right) / static_cast<double>(count), commonest,
                   static_cast<double>(times) / static_cast<double>(count)});
  }
  std::stable_sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.questions > b.questions; });
  return out;
}

}  // namespace vlm
