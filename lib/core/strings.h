#pragma once
/// Small helpers on byte strings (ASCII rules; Unicode rules are in text/unicode.h).

#include <string>
#include <string_view>
#include <vector>

namespace vlm {

/// Parts between separators, empty ones included: split("a,,b", ",") is {"a", "", "b"}.
std::vector<std::string> split(std::string_view text, std::string_view separator);
std::string join(const std::vector<std::string>& parts, std::string_view separator);
/// ASCII letters to lower case, other bytes as they are.
std::string ascii_lower(std::string_view text);
bool starts_with(std::string_view text, std::string_view prefix);
bool ends_with(std::string_view text, std::string_view suffix);
/// True if every byte belongs to a well-formed UTF-8 character: no overlong forms, no surrogates, nothing above U+10FFFF.
bool valid_utf8(std::string_view bytes);
/// True if `name` matches a shell pattern of `*` and `?`.
bool glob_match(std::string_view pattern, std::string_view name);

/// The candidate with the smallest edit distance to `word`; empty if none is near enough to be what was meant.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);
/// " (did you mean 'x'?)", or "" where nothing is near.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);

/// "1.2 GB", "340 kB": powers of ten.
std::string human_bytes(double bytes);
/// "0:07", "12:31", "3:02:10".
std::string human_seconds(double seconds);

}  // namespace vlm
