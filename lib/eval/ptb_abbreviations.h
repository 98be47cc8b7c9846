#pragma once
/// The word lists of the PTB lexer (specs: eval, 1.1). Seen by eval/ptb_rules.cpp only.

#include <string>
#include <vector>

#include "vlm/eval/ptb_rules.h"

namespace vlm::ptb {

/// Lengths of the abbreviations of the first class at a place, without their dot: months, days, states, companies …
std::vector<size_t> first_class_abbreviations(const Text& text, size_t at);
/// The same of the second class: titles and others that a name follows.
std::vector<size_t> second_class_abbreviations(const Text& text, size_t at);
/// Length, with its dot, of an abbreviation such as "fig." that goes before a number; 0 if there is none.
size_t before_number_abbreviation(const Text& text, size_t at);
/// "The", "They", "Mr." …, in exactly this case.
bool is_sentence_starter(const std::u32string& word);
/// "jpg", "txt" …, in any case.
bool is_file_extension(const std::u32string& word);

}  // namespace vlm::ptb
