#include "vlm/text/ofa_instructions.h"

#include <algorithm>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/text/caption_cleaning.h"
#include "vlm/text/unicode.h"

namespace vlm::ofa_instruction {

namespace wording {

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) text.replace(at, from.size(), to);
}

/// The first words between runs of white space, joined by single spaces.
std::string first_words(std::string_view text, int64_t max_words) {
  auto words = split_white_space(text);
  if (max_words > 0 && static_cast<int64_t>(words.size()) > max_words) words.resize(static_cast<size_t>(max_words));
  return join(words, " ");
}

std::string summary_text(std::string_view text, int64_t max_words) {
  std::string out = ofa_caption(text, max_words);
  replace_all(out, "<unk>", "unk");
  return out;
}

const std::vector<GlueTask>& glue_tasks() {
  static const std::vector<GlueTask> all = {
      {"cola", R"( is the text " {1} " grammatically correct?)", {" no", " yes"}, {}},
      {"mnli", R"( can text1 " {1} " imply text2 " {2} "?)", {" maybe", " yes", " no"}, {"neutral", "entailment", "contradiction"}},
      {"rte", R"( can text1 " {1} " imply text2 " {2} "?)", {" no", " yes"}, {"not_entailment", "entailment"}},
      {"mrpc", R"( does text1 " {1} " and text2 " {2} " have the same semantics?)", {" no", " yes"}, {}},
      {"qnli", R"( does " {2} " contain the answer to question " {1} "?)", {" no", " yes"}, {"not_entailment", "entailment"}},
      {"qqp", R"( is question " {1} " and question " {2} " equivalent?)", {" no", " yes"}, {}},
      {"sst2", R"( is the sentiment of text " {1} " positive or negative?)", {" negative", " positive"}, {}},
  };
  return all;
}

}  // namespace wording

std::string caption() { return " what does the image describe?"; }

std::string question(std::string_view question, int64_t max_words, bool mark) {
  const std::string plain = ofa_question(question, max_words);
  return " " + plain + (mark && !ends_with(plain, "?") ? "?" : "");
}

std::string objects(std::string_view field, size_t max_objects) {
  auto names = split(strip(field), "&&");
  if (names.size() > max_objects) names.resize(max_objects);
  return " object: " + join(names, " ");
}

std::string entailment(std::string_view hypothesis, std::string_view caption, int64_t max_words) {
  const std::string statement = ofa_caption(hypothesis, max_words);
  if (caption.empty()) return R"( does the image describe " )" + statement + R"( "?)";
  return R"( can image and text1 " )" + ofa_caption(caption, max_words) + R"( " imply text2 " )" + statement + R"( "?)";
}

std::string region_of(std::string_view text, int64_t max_words) {
  return R"( which region does the text " )" + ofa_caption(text, max_words) + R"( " describe?)";
}

std::string describe_region() { return "  what does the region describe? region:"; }

std::string match(std::string_view caption, int64_t max_words) { return R"( does the image describe " )" + ofa_caption(caption, max_words) + R"( "?)"; }

std::string match_answer(std::string_view question, std::string_view answer, int64_t max_words) {
  return R"( what is the answer to question " )" + ofa_question(question, max_words) + R"( ". is " )" + std::string(answer) + R"( "?)";
}

std::string picture_of(std::string_view caption, int64_t max_words) {
  return " what is the complete image? caption: " + wording::first_words(lower(caption), max_words);
}

std::string middle_of_picture() { return " what is the image in the middle part?"; }

std::string detection() { return " what are the objects in the image?"; }

std::string infill() { return R"( what is the complete text of " "?)"; }

std::string summary(std::string_view article, int64_t max_words) {
  return R"( what is the summary of article " )" + wording::summary_text(article, max_words) + R"( "?)";
}

std::string answer(std::string_view text) { return " " + std::string(text); }

std::string pretraining_caption(std::string_view caption, int64_t max_words) { return answer(ofa_caption(caption, max_words)); }

std::string target_caption(std::string_view caption, int64_t max_words) { return answer(ofa_target_caption(caption, max_words)); }

std::string target_summary(std::string_view summary, int64_t max_words) { return wording::summary_text(summary, max_words); }

std::string yes_or_no(bool yes) { return yes ? " yes" : " no"; }

const std::vector<std::string>& entailment_answers() {
  static const std::vector<std::string> all = {" no", " maybe", " yes"};
  return all;
}

std::string GlueTask::instruct(std::string_view first, std::string_view second, int64_t max_words) const {
  if (strip(first).empty() || (pair() && strip(second).empty())) fail(name, " takes ", pair() ? "two sentences" : "a sentence", "; one is empty");
  std::string out;
  std::string_view rest = instruction;
  // What a sentence says must not be taken for a place of the other one, so each place is filled once, from left to right.
  for (size_t at; (at = rest.find('{')) != std::string_view::npos; rest.remove_prefix(at + 3)) {
    out += rest.substr(0, at);
    out += wording::first_words(lower(rest[at + 1] == '1' ? first : second), max_words);
  }
  return out += rest;
}

std::optional<size_t> GlueTask::label(std::string_view text) const {
  text = strip(text);
  for (size_t i = 0; i < answers.size(); ++i) {
    if (text == std::to_string(i) || (i < labels.size() && text == labels[i])) return i;
  }
  return std::nullopt;
}

const GlueTask& glue_task(const std::string& name) {
  std::vector<std::string> names;
  for (const auto& task : wording::glue_tasks()) {
    if (task.name == name) return task;
    names.emplace_back(task.name);
  }
  fail_usage("there is no task '", name, "' of GLUE", did_you_mean(name, names), "; there are: ", join(names, ", "));
}

Prompt prompt_named(const std::string& name) {
  if (name == "none") return Prompt::none;
  if (name == "src") return Prompt::source;
  if (name == "prev_output") return Prompt::prev_output;
  fail_usage("prompt_type: there is no '", name, "'", did_you_mean(name, {"none", "src", "prev_output"}), "; there are: none, src, prev_output");
}

}  // namespace vlm::ofa_instruction
