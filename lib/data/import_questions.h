#pragma once
/// Questions with one answer each about imported pictures (specs: real-data, section 4).

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "vlm/data/import_text.h"

namespace vlm {

struct PictureQuestion {
  int64_t id = 0;    ///< unique within a set but for accidents: (64-bit number of the picture mod 10^9) * 10 + index
  std::string type;  ///< "kind", "yes/no", "name", "suit", "rank", "count"
  std::string question, answer;
};

/// (picture mod 10^9) * 10 + index; index below 10.
int64_t question_id(uint64_t picture, int64_t index);

/// The name as an answer: in lower case, without a leading a, an, the or some; empty unless it has one to three words of
/// a-z, apostrophes and hyphens.
std::string answer_from_name(std::string_view caption);

/// `classes`: all class names of the source, sorted, at least two; `class_name`: the picture's, or empty.
std::vector<PictureQuestion> picture_questions(const std::string& key, uint64_t number, const PictureText& text,
                                               const std::string& class_name, const std::vector<std::string>& classes);

}  // namespace vlm
