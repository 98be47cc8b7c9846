#include "vlm/data/import_questions.h"

#include <algorithm>

#include "vlm/core/rng.h"
#include "vlm/core/strings.h"
#include "vlm/text/unicode.h"

namespace vlm {

int64_t question_id(uint64_t picture, int64_t index) { return static_cast<int64_t>(picture % 1'000'000'000) * 10 + index; }

std::string answer_from_name(std::string_view caption) {
  std::string answer = lower(caption);
  for (const std::string_view article : {"a ", "an ", "the ", "some "}) {
    if (starts_with(answer, article)) {
      answer.erase(0, article.size());
      break;
    }
  }
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || c == '\'' || c == ' ' || c == '-'; };
  const auto spaces = std::count(answer.begin(), answer.end(), ' ');
  return std::all_of(answer.begin(), answer.end(), plain) && spaces < 3 ? answer : std::string();
}

std::vector<PictureQuestion> picture_questions(const std::string& key, uint64_t number, const PictureText& text,
                                               const std::string& class_name, const std::vector<std::string>& classes) {
  std::vector<PictureQuestion> questions;
  const auto ask = [&](const char* type, std::string question, std::string answer) {
    const int64_t id = question_id(number, static_cast<int64_t>(questions.size()));
    questions.push_back({id, type, std::move(question), std::move(answer)});
  };
  if (!class_name.empty()) {
    ask("kind", "what kind of thing is this?", class_name);
    const uint64_t h = fnv1a64(key + "|yn");
    std::string asked = class_name;
    if (h % 2 == 0) {
      std::vector<std::string> others;
      std::copy_if(classes.begin(), classes.end(), std::back_inserter(others), [&](const auto& name) { return name != class_name; });
      asked = others.at((h >> 8) % others.size());
    }
    ask("yes/no", "is this a picture of the kind \"" + asked + "\"?", h % 2 ? "yes" : "no");
  }
  if (text.origin == "title") {
    const std::string answer = answer_from_name(text.captions.at(0));
    if (!answer.empty()) ask("name", "what is this?", answer);
  }
  if (!text.suit.empty()) {
    ask("suit", "what suit is this card?", text.suit);
    ask("rank", "what is the rank of this card?", text.rank);
  }
  if (text.points > 0) ask("count", "how many points does this star have?", std::to_string(text.points));
  return questions;
}

}  // namespace vlm
