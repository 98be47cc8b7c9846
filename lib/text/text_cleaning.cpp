#include "vlm/text/text_cleaning.h"

#include <algorithm>
#include <vector>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/text/html.h"
#include "vlm/text/text_repair.h"
#include "vlm/text/unicode.h"

namespace vlm {

namespace text_cleaning {

struct Name {
  std::string_view name;
  TextClean clean;
};
constexpr Name kNames[] = {{"none", TextClean::none},
                           {"lower_only", TextClean::lower_only},
                           {"squash_lower", TextClean::squash_lower},
                           {"whitespace", TextClean::whitespace},
                           {"lower", TextClean::lower},
                           {"canonicalize", TextClean::canonicalize},
                           {"punctuation", TextClean::punctuation}};

std::string without_punctuation(std::string text) {
  text.erase(std::remove_if(text.begin(), text.end(), is_ascii_punctuation), text.end());
  return text;
}

}  // namespace text_cleaning

TextClean text_clean_named(std::string_view name) {
  std::vector<std::string> names;
  for (const auto& entry : text_cleaning::kNames) {
    if (entry.name == name) return entry.clean;
    names.emplace_back(entry.name);
  }
  fail_usage("unknown clean-up '", name, "'", did_you_mean(name, names), "; there are: ", join(names, ", "));
}

std::string to_string(TextClean clean) {
  for (const auto& entry : text_cleaning::kNames) {
    if (entry.clean == clean) return std::string(entry.name);
  }
  return "none";
}

bool is_ascii_punctuation(char c) {
  return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
}

std::string basic_clean(std::string_view text) {
  std::string out = repair_text(text);
  for (int pass = 0; pass < 2 && out.find('&') != std::string::npos; ++pass) out = html_unescape(out);
  return std::string(strip(out));
}

std::string clean_text(std::string_view text, TextClean clean) {
  switch (clean) {
    case TextClean::none: return std::string(text);
    case TextClean::lower_only: return lower(text);
    case TextClean::squash_lower: return lower(squash(text));
    case TextClean::whitespace: return squash(basic_clean(text));
    case TextClean::lower: return lower(squash(basic_clean(text)));
    case TextClean::canonicalize: {
      std::string out = basic_clean(text);
      std::replace(out.begin(), out.end(), '_', ' ');
      return squash(lower(text_cleaning::without_punctuation(std::move(out))));
    }
    case TextClean::punctuation: return squash(text_cleaning::without_punctuation(lower(text)));
  }
  return std::string(text);
}

}  // namespace vlm
