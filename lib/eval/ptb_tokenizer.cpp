#include "vlm/eval/ptb_tokenizer.h"

#include <algorithm>
#include <unordered_set>

#include "vlm/core/strings.h"
#include "vlm/eval/ptb_rules.h"
#include "vlm/text/unicode.h"

namespace vlm {

namespace ptb_output {

using ptb::Gives;

std::u32string bracket(char32_t c) {
  switch (c) {
    case '(': return U"-lrb-";
    case ')': return U"-rrb-";
    case '[': return U"-lsb-";
    case ']': return U"-rsb-";
    case '{': return U"-lcb-";
    default: return U"-rcb-";
  }
}

std::u32string quote(char32_t c) {
  switch (c) {
    case '`':
    case 0x2018:
    case 0x201B:
    case 0x2039: return U"`";
    case 0x201C:
    case 0xAB: return U"``";
    case 0x201D:
    case 0xBB: return U"''";
    default: return U"'";
  }
}

std::u32string currency(char32_t c) {
  switch (c) {
    case 0xA2: return U"cents";
    case 0xA3: return U"#";
    case 0xA4:
    case 0x20AC: return U"$";
    default: return std::u32string(1, c);
  }
}

std::u32string fraction(char32_t c) {
  switch (c) {
    case 0xBC: return U"1/4";
    case 0xBD: return U"1/2";
    case 0xBE: return U"3/4";
    case 0x2153: return U"1/3";
    default: return U"2/3";
  }
}

/// What a match of `source` stands for.
std::u32string written(const std::u32string& source, Gives gives) {
  std::u32string out;
  switch (gives) {
    case Gives::nothing: return U"";
    case Gives::dashes: return U"--";
    case Gives::ellipsis: return U"...";
    case Gives::opening: return U"``";
    case Gives::closing: return U"''";
    case Gives::backquote: return U"`";
    case Gives::fraction: return fraction(source[0]);
    case Gives::currency: return currency(source[0]);
    case Gives::bracket: return bracket(source[0]);
    case Gives::letter_and_stop: return source.substr(0, source.size() - 1);
    case Gives::quotes:
      for (const char32_t c : source) out += quote(c);
      return out;
    case Gives::clitic:
      for (const char32_t c : source) {
        const bool left = c == '`' || c == 0x2018 || c == 0x201B || c == 0x91;
        out += left ? U'`' : c == 0x2019 || c == 0x92 ? U'\'' : c;
      }
      return out;
    case Gives::brackets:
      for (const char32_t c : source) {
        if (c == '(' || c == ')') {
          out += bracket(c);
        } else {
          out += c;
        }
      }
      break;
    default: out = source;
  }
  // Soft hyphens are no part of a word, and white space within a token must not look like its end.
  out.erase(std::remove(out.begin(), out.end(), char32_t(0xAD)), out.end());
  for (char32_t& c : out) {
    if (ptb::is_space(c)) c = 0xA0;
  }
  return out;
}

/// References that a page leaves in its captions; numeric ones are tokens of their own.
std::string without_entities(std::string_view caption) {
  constexpr std::pair<std::string_view, std::string_view> kEntities[] = {{"&amp;", "&"},  {"&lt;", "<"},  {"&gt;", ">"},
                                                                         {"&quot;", "\""}, {"&apos;", "'"}, {"&nbsp;", " "}};
  std::string out;
  for (size_t at = 0; at < caption.size();) {
    size_t taken = 0;
    if (caption[at] == '&') {
      for (const auto& [name, meaning] : kEntities) {
        if (ascii_lower(caption.substr(at, name.size())) != name) continue;
        out += meaning;
        taken = name.size();
        break;
      }
    }
    if (taken == 0) out += caption[at];
    at += std::max<size_t>(taken, 1);
  }
  return out;
}

}  // namespace ptb_output

std::vector<std::string> ptb_tokens(std::string_view caption) {
  const ptb::Text text(decode_utf8(ptb_output::without_entities(caption)));
  std::vector<std::string> tokens;
  for (size_t at = 0; at < text.size();) {
    if (ptb::is_space(text[at])) {
      ++at;
      continue;
    }
    const ptb::Match match = ptb::match_at(text, at);
    const auto token = ptb_output::written(text.slice(at, match.consumed), match.gives);
    if (!token.empty()) tokens.push_back(lower(encode_utf8(token)));
    if (match.gives == ptb::Gives::two_tokens || match.gives == ptb::Gives::letter_and_stop) tokens.emplace_back(".");
    at += match.consumed;
  }
  return tokens;
}

std::vector<std::string> without_punctuation_tokens(const std::vector<std::string>& tokens) {
  static const std::unordered_set<std::string> dropped = {"''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"};
  std::vector<std::string> out;
  for (const auto& token : tokens) {
    if (!dropped.count(token)) out.push_back(token);
  }
  return out;
}

std::string caption_tokens(std::string_view caption) { return join(without_punctuation_tokens(ptb_tokens(caption)), " "); }

}  // namespace vlm
