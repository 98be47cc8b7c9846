#include "vlm/text/html.h"

#include <cstddef>

#include "vlm/text/unicode.h"
#include "vlm/text/windows1252.h"

namespace vlm {

namespace html_detail {

constexpr size_t kLongestName = 32;  // characters after the ampersand

bool is_digit(char c) { return c >= '0' && c <= '9'; }
int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// "#…" at `at`: appends what it stands for and moves behind it; false if there is no number.
bool numeric(std::string_view text, size_t& at, std::string& out) {
  size_t i = at + 1;
  unsigned long number = 0, base = 10;
  if (i < text.size() && (text[i] == 'x' || text[i] == 'X')) base = 16, ++i;
  const size_t first = i;
  for (; i < text.size(); ++i) {
    const int digit = base == 16 ? hex_value(text[i]) : is_digit(text[i]) ? text[i] - '0' : -1;
    if (digit < 0) break;
    if (number <= 0x10FFFF) number = number * base + static_cast<unsigned long>(digit);
  }
  if (i == first) return false;
  if (i < text.size() && text[i] == ';') ++i;
  out += html_numeric_reference(number);
  at = i;
  return true;
}

/// A name at `at`: appends what it stands for and moves behind it; false if it begins with no known name.
bool named(std::string_view text, size_t& at, std::string& out) {
  const std::string_view rest = text.substr(at);
  size_t length = 0;
  while (length < rest.size() && length < kLongestName) {
    const char c = rest[length];
    if (c == '\t' || c == '\n' || c == '\f' || c == ' ' || c == '<' || c == '&' || c == '#' || c == ';') break;
    // No name holds other characters, so how many of them follow does not matter.
    if (static_cast<unsigned char>(c) >= 0x80) break;
    ++length;
  }
  if (length == 0) return false;
  if (length < rest.size() && rest[length] == ';') {
    const auto entity = find_html_entity(rest.substr(0, length));
    if (!entity.empty()) {
      out += entity;
      at += length + 1;
      return true;
    }
  }
  for (size_t prefix = length; prefix >= 2; --prefix) {
    if (!is_legacy_html_entity(rest.substr(0, prefix))) continue;
    out += find_html_entity(rest.substr(0, prefix));
    at += prefix;
    return true;
  }
  return false;
}

}  // namespace html_detail

std::string html_numeric_reference(unsigned long number) {
  std::string out;
  if (number >= 0x80 && number <= 0x9F) {
    append_utf8(out, windows1252(static_cast<char32_t>(number)));
    return out;
  }
  const bool control =
      (number >= 0x01 && number <= 0x08) || number == 0x0B || (number >= 0x0E && number <= 0x1F) || number == 0x7F;
  const bool non_character = number <= 0x10FFFF && ((number >= 0xFDD0 && number <= 0xFDEF) || (number & 0xFFFE) == 0xFFFE);
  if (control || non_character) return out;
  append_utf8(out, number == 0 || number > 0x10FFFF ? 0xFFFD : static_cast<char32_t>(number));
  return out;
}

std::string html_unescape(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t ampersand = text.find('&', at);
    out += text.substr(at, ampersand - at);
    if (ampersand == std::string_view::npos) break;
    at = ampersand + 1;
    const bool replaced =
        at < text.size() && (text[at] == '#' ? html_detail::numeric(text, at, out) : html_detail::named(text, at, out));
    if (!replaced) out += '&';
  }
  return out;
}

}  // namespace vlm
