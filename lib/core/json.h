#pragma once
/// JSON from outside. The parser and the destructor of nlohmann::json keep their own stack, but its copies, comparisons and
/// dump() call themselves once a level, so that a file of brackets alone would run out of stack.

#include <nlohmann/json.hpp>
#include <string_view>

namespace vlm {

constexpr size_t deepest_json = 128;  ///< levels; the files of models, tokenizers and data sets have fewer than ten

/// Whether no value is nested deeper than `deepest` levels. Looks at brackets outside of strings only.
bool is_shallow_json(std::string_view text, size_t deepest = deepest_json);

/// Discarded (is_discarded()) if the text is not JSON or is nested deeper than `deepest_json` levels.
template <class Json = nlohmann::json>
Json parse_json(std::string_view text) {
  if (!is_shallow_json(text)) return Json(Json::value_t::discarded);
  return Json::parse(text.begin(), text.end(), nullptr, false);
}

}  // namespace vlm
