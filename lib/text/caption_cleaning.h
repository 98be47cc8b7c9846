#pragma once
/// What the readers of ALBEF, TCL, mPLUG and OFA do to texts before they are tokenized (specs: data, section 7). The rules
/// look alike and differ in details on which released checkpoints depend, so each one stands here by itself.
///
/// ALBEF's lower each character by itself, mPLUG's and OFA's as Python's str.lower does; ofa_target_caption() keeps case. `max_words`
/// keeps the first words, which are what splitting at single spaces gives (an empty string is one empty word); 0: all.

#include <cstdint>
#include <string>
#include <string_view>

namespace vlm {

/// Captions and entailment sentences: no `, . ' ! ? " ( ) * # : ; ~`, dashes and slashes as spaces, white space collapsed.
std::string albef_caption(std::string_view text, int64_t max_words = 30);
/// Questions: the same deletions; runs of spaces stay, and only spaces at the end go. 30 words in training, 50 in tests.
std::string albef_question(std::string_view text, int64_t max_words = 30);
/// mPLUG's captions and questions (specs: mplug, 5): ALBEF's rules but for the letters.
std::string mplug_caption(std::string_view text, int64_t max_words = 30);
std::string mplug_question(std::string_view text, int64_t max_words = 30);
/// The same by the name of the rules: albef, mplug, or none (the text stays as it is). Throws a usage error for another name.
std::string clean_caption(const std::string& rules, std::string_view text, int64_t max_words = 30);
std::string clean_question(const std::string& rules, std::string_view text, int64_t max_words = 30);
/// Captions as OFA reads them: punctuation goes at the beginning only.
std::string ofa_caption(std::string_view text, int64_t max_words = 30);
/// The same without a rule for `<person>`; the task appends "?" if the text does not end with it.
std::string ofa_question(std::string_view text, int64_t max_words = 30);
/// What OFA learns to write: without ASCII punctuation, the first words, letters as they are.
std::string ofa_target_caption(std::string_view text, int64_t max_words = 30);

}  // namespace vlm
