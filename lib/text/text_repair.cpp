#include "vlm/text/text_repair.h"

#include <algorithm>
#include <iterator>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/text/html.h"
#include "vlm/text/unicode.h"
#include "vlm/text/windows1252.h"

namespace vlm {

namespace text_repair {

constexpr size_t kLongestEntity = 24;

bool is_alphanumeric(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/// What "&body;" stands for, where the body is a name or "#" and a number; false if it is to stay.
bool entity(std::string_view body, std::string& out) {
  const std::string whole = concat("&", body, ";");
  if (body[0] == '#') {
    out = html_unescape(whole);
    // A semicolon that is left over shows that only the front of it was a number.
    return out.find(';') == std::string::npos;
  }
  out = find_html_entity(body);
  if (!out.empty()) return true;
  const bool shouted = std::none_of(body.begin(), body.end(), [](char c) { return c >= 'a' && c <= 'z'; });
  // "&GTRSIM;" begins with the legacy name "&GT", so it is not a shouted "&gtrsim;".
  if (shouted && html_unescape(whole) == whole) out = upper_each(find_html_entity(ascii_lower(body)));
  return !out.empty();
}

/// Bytes of an entity's body at `at` if a semicolon follows, else 0.
size_t body_length(std::string_view line, size_t at) {
  const size_t first = at + (at < line.size() && line[at] == '#');
  size_t end = first;
  while (end < line.size() && end - first < kLongestEntity && is_alphanumeric(line[end])) ++end;
  return end > first && end < line.size() && line[end] == ';' ? end - at : 0;
}

std::string unescape(std::string_view line) {
  std::string out, replacement;
  for (size_t at = 0; at < line.size();) {
    const size_t ampersand = line.find('&', at);
    out += line.substr(at, ampersand - at);
    if (ampersand == std::string_view::npos) break;
    at = ampersand + 1;
    replacement = "&";
    // "&amp;amp;amp;" is peeled in one go, since a pass over the line for each layer would take quadratic time.
    for (size_t length = body_length(line, at); length > 0 && replacement == "&"; length = body_length(line, at)) {
      std::string meaning;
      if (!entity(line.substr(at, length), meaning)) break;
      replacement = std::move(meaning);
      at += length + 1;
    }
    out += replacement;
  }
  return out;
}

struct Ligature {
  char32_t c;
  const char32_t* letters;
};
constexpr Ligature kLigatures[] = {
    {0x132, U"IJ"},   {0x133, U"ij"},   {0x149, U"\u02BCn"},  {0x1C4, U"D\u017D"}, {0x1C5, U"D\u017E"}, {0x1C6, U"d\u017E"},
    {0x1C7, U"LJ"},   {0x1C8, U"Lj"},   {0x1C9, U"lj"},       {0x1CA, U"NJ"},      {0x1CB, U"Nj"},      {0x1CC, U"nj"},
    {0x1F1, U"DZ"},   {0x1F2, U"Dz"},   {0x1F3, U"dz"},       {0xFB00, U"ff"},     {0xFB01, U"fi"},     {0xFB02, U"fl"},
    {0xFB03, U"ffi"}, {0xFB04, U"ffl"}, {0xFB05, U"\u017Ft"}, {0xFB06, U"st"},
};

/// Appends one character as letters, widths and quotes are to be.
void append_plain(std::u32string& out, char32_t c) {
  c = windows1252(c);
  const auto* ligature = std::lower_bound(std::begin(kLigatures), std::end(kLigatures), c,
                                          [](const Ligature& entry, char32_t key) { return entry.c < key; });
  std::u32string letters(1, c);
  if (ligature != std::end(kLigatures) && ligature->c == c) {
    letters = ligature->letters;
  } else if (c == 0x3000) {
    letters = U" ";
  } else if (c >= 0xFF01 && c <= 0xFFEF) {
    letters = decode_utf8(nfkc(encode_utf8(letters)));
  }
  for (char32_t& letter : letters) {
    if (letter == 0x2BC || (letter >= 0x2018 && letter <= 0x201B)) letter = U'\'';
    if (letter >= 0x201C && letter <= 0x201F) letter = U'"';
  }
  out += letters;
}

bool is_dropped_control(char32_t c) {
  return c <= 0x08 || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F || (c >= 0x206A && c <= 0x206F) || c == 0xFEFF ||
         (c >= 0xFFF9 && c <= 0xFFFC);
}

/// Line ends become "\n"; terminal escapes and control characters go.
std::u32string without_controls(const std::u32string& in) {
  std::u32string out;
  for (size_t i = 0; i < in.size(); ++i) {
    const char32_t c = in[i];
    if (c == U'\r') {
      if (i + 1 >= in.size() || in[i + 1] != U'\n') out += U'\n';
    } else if (c == 0x2028 || c == 0x2029) {
      out += U'\n';
    } else if (c == 0x1B && i + 1 < in.size() && in[i + 1] == U'[') {
      size_t end = i + 2;
      while (end < in.size() && (is_decimal_digit(in[end]) || in[end] == U';')) ++end;
      const bool letter = end < in.size() && ((in[end] >= U'a' && in[end] <= U'z') || (in[end] >= U'A' && in[end] <= U'Z'));
      if (letter) i = end;
    } else if (!is_dropped_control(c)) {
      out += c;
    }
  }
  return out;
}

std::string repair_line(std::string line, bool entities) {
  for (;;) {
    const std::string unescaped = entities ? unescape(line) : line;
    std::u32string plain;
    for (size_t at = 0; at < unescaped.size();) append_plain(plain, next_code_point(unescaped, at));
    std::string repaired = nfc(encode_utf8(without_controls(plain)));
    if (repaired == line) return repaired;
    line = std::move(repaired);
  }
}

/// True for printable ASCII with tabs, newlines and form feeds, and no ampersand: nothing below could change it.
bool is_plain(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char raw) {
    const auto c = static_cast<unsigned char>(raw);
    return (c >= 0x20 && c < 0x7F && c != '&') || c == '\t' || c == '\n' || c == '\f';
  });
}

}  // namespace text_repair

std::string repair_text(std::string_view text) {
  if (text_repair::is_plain(text)) return std::string(text);
  const std::string valid = replace_malformed_utf8(text);
  std::string out;
  bool entities = true;
  for (size_t begin = 0; begin < valid.size();) {
    const size_t newline = valid.find('\n', begin);
    const size_t end = newline == std::string::npos ? valid.size() : newline + 1;
    std::string line = valid.substr(begin, end - begin);
    if (line.find('<') != std::string::npos) entities = false;
    out += text_repair::repair_line(std::move(line), entities);
    begin = end;
  }
  return out;
}

}  // namespace vlm
