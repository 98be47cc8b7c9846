#include "vlm/text/caption_cleaning.h"

#include <algorithm>

#include "vlm/core/error.h"
#include "vlm/text/text_cleaning.h"
#include "vlm/text/unicode.h"

namespace vlm {

namespace caption_cleaning {

std::string without(std::string_view text, std::string_view characters) {
  std::string out;
  for (const char c : text) {
    if (characters.find(c) == std::string_view::npos) out += c;
  }
  return out;
}

void dashes_to_spaces(std::string& text) {
  for (char& c : text) {
    if (c == '-' || c == '/') c = ' ';
  }
}

void name_persons(std::string& text) {
  static constexpr std::string_view mark = "<person>";
  for (size_t at = 0; (at = text.find(mark, at)) != std::string::npos;) {
    text.replace(at, mark.size(), "person");
    at += 6;
  }
}

/// Two or more white-space characters in a row become one space; a single one stays what it is.
std::string collapse_runs(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    size_t end = at, characters = 0;
    while (at < text.size() && is_white_space(next_code_point(text, at))) {
      end = at;
      ++characters;
    }
    if (characters == 0) {
      out += text.substr(begin, at - begin);
    } else {
      out += characters > 1 ? std::string_view(" ") : text.substr(begin, end - begin);
      at = end;
    }
  }
  return out;
}

void strip_end(std::string& text, char c) { text.erase(text.find_last_not_of(c) + 1); }

void strip_newlines_and_spaces(std::string& text) {
  strip_end(text, '\n');
  strip_end(text, ' ');
  text.erase(0, std::min(text.find_first_not_of(' '), text.size()));
}

std::string first_words(std::string text, int64_t max_words) {
  if (max_words <= 0) return text;
  size_t at = 0;
  for (int64_t words = 1;; ++words) {
    at = text.find(' ', at);
    if (at == std::string::npos) return text;
    if (words == max_words) break;
    ++at;
  }
  text.resize(at);
  return text;
}

constexpr std::string_view albef_deleted = ",.'!?\"()*#:;~";

std::string caption(const std::string& lowered, int64_t max_words) {
  std::string out = without(lowered, albef_deleted);
  dashes_to_spaces(out);
  name_persons(out);
  out = collapse_runs(out);
  strip_newlines_and_spaces(out);
  return first_words(std::move(out), max_words);
}

std::string question(const std::string& lowered, int64_t max_words) {
  std::string out = without(lowered, albef_deleted);
  dashes_to_spaces(out);
  strip_end(out, ' ');
  return first_words(std::move(out), max_words);
}

std::string ofa_text(std::string_view text, bool persons, int64_t max_words) {
  std::string out = lower(text);
  out.erase(0, std::min(out.find_first_not_of(",.!?*#:;~"), out.size()));
  dashes_to_spaces(out);
  if (persons) name_persons(out);
  out = collapse_runs(out);
  strip_newlines_and_spaces(out);
  return first_words(std::move(out), max_words);
}

}  // namespace caption_cleaning

std::string albef_caption(std::string_view text, int64_t max_words) { return caption_cleaning::caption(lower_simple(text), max_words); }

std::string albef_question(std::string_view text, int64_t max_words) { return caption_cleaning::question(lower_simple(text), max_words); }

std::string mplug_caption(std::string_view text, int64_t max_words) { return caption_cleaning::caption(lower(text), max_words); }

std::string mplug_question(std::string_view text, int64_t max_words) { return caption_cleaning::question(lower(text), max_words); }

namespace caption_cleaning {

/// As one of the families does it; `ofa` and others have rules that are asked for by themselves.
std::string by_name(const std::string& rules, std::string_view text, int64_t max_words, std::string (*albef)(std::string_view, int64_t),
                    std::string (*mplug)(std::string_view, int64_t)) {
  if (rules == "none") return std::string(text);
  if (rules == "albef") return albef(text, max_words);
  if (rules == "mplug") return mplug(text, max_words);
  fail_usage("there are no rules of cleaning '", rules, "'; there are albef, mplug and none");
}

}  // namespace caption_cleaning

std::string clean_caption(const std::string& rules, std::string_view text, int64_t max_words) {
  return caption_cleaning::by_name(rules, text, max_words, albef_caption, mplug_caption);
}

std::string clean_question(const std::string& rules, std::string_view text, int64_t max_words) {
  return caption_cleaning::by_name(rules, text, max_words, albef_question, mplug_question);
}

std::string ofa_caption(std::string_view text, int64_t max_words) {
  return caption_cleaning::ofa_text(text, true, max_words);
}

std::string ofa_question(std::string_view text, int64_t max_words) {
  return caption_cleaning::ofa_text(text, false, max_words);
}

std::string ofa_target_caption(std::string_view text, int64_t max_words) {
  std::string plain;
  for (const char c : text) {
    if (!is_ascii_punctuation(c)) plain += c;
  }
  return caption_cleaning::first_words(squash(plain), max_words);
}

}  // namespace vlm
