#include "vlm/text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "vlm/core/error.h"

namespace vlm {

namespace unicode_detail {

constexpr char32_t kReplacement = 0xFFFD;

utf8proc_category_t category(char32_t c) {
  return static_cast<utf8proc_category_t>(utf8proc_get_property(utf8proc_int32_t(c))->category);
}

/// Decodes one character. Returns the number of bytes it takes; 0 < bytes always. `c` is U+FFFD and `ok` false if malformed.
size_t decode(std::string_view text, size_t at, char32_t& c, bool& ok) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(at);
  ok = true;
  if (first < 0x80) {
    c = first;
    return 1;
  }
  size_t length = 0;
  unsigned char low = 0x80, high = 0xBF;
  if (first >= 0xC2 && first <= 0xDF) {
    length = 2, c = first & 0x1F;
  } else if (first >= 0xE0 && first <= 0xEF) {
    length = 3, c = first & 0x0F;
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;
  } else if (first >= 0xF0 && first <= 0xF4) {
    length = 4, c = first & 0x07;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
  }
  size_t used = 1;
  for (; used < length; ++used) {
    if (at + used >= text.size() || byte(at + used) < low || byte(at + used) > high) break;
    c = (c << 6) | (byte(at + used) & 0x3F);
    low = 0x80, high = 0xBF;
  }
  if (length == 0 || used < length) {
    c = kReplacement;
    ok = false;
  }
  return used;
}

/// Cased and Case_Ignorable of Unicode 3.13. Characters that have both properties only ever matter as ignorable ones, so
/// Cased leaves modifier letters out.
bool is_case_ignorable(char32_t c) {
  switch (category(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK: return true;
    default: break;
  }
  static constexpr char32_t kMiddle[] = {0x27,   0x2E,   0x3A,   0xB7,   0x387,  0x55F,  0x5F4,  0x2018, 0x2019,
                                         0x2024, 0x2027, 0xFE13, 0xFE52, 0xFE55, 0xFF07, 0xFF0E, 0xFF1A};
  return std::binary_search(std::begin(kMiddle), std::end(kMiddle), c);
}

bool is_cased(char32_t c) {
  switch (category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT: return true;
    default:
      return c == 0xAA || c == 0xBA || (c >= 0x2160 && c <= 0x217F) || (c >= 0x24B6 && c <= 0x24E9) ||
             (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189);
  }
}

bool is_final_sigma(const std::u32string& text, size_t at) {
  size_t before = at;
  while (before > 0 && is_case_ignorable(text[before - 1])) --before;
  if (before == 0 || !is_cased(text[before - 1])) return false;
  size_t after = at + 1;
  while (after < text.size() && is_case_ignorable(text[after])) ++after;
  return after == text.size() || !is_cased(text[after]);
}

enum class Rule { full, each, simple };

std::string ascii_lowered(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return out;
}

std::string lowered(std::string_view text, Rule rule) {
  if (is_ascii(text)) return ascii_lowered(text);
  const std::u32string in = decode_utf8(text);
  std::string out;
  out.reserve(text.size() + 4);
  for (size_t i = 0; i < in.size(); ++i) {
    const char32_t c = in[i];
    if (c == 0x130 && rule != Rule::simple) {
      out += "i\xCC\x87";
    } else if (c == 0x3A3 && rule == Rule::full && is_final_sigma(in, i)) {
      append_utf8(out, 0x3C2);
    } else {
      append_utf8(out, char32_t(utf8proc_tolower(utf8proc_int32_t(c))));
    }
  }
  return out;
}

std::string normalized(std::string_view text, int form) {
  if (is_ascii(text)) return std::string(text);
  const std::string clean = replace_malformed_utf8(text);
  utf8proc_uint8_t* mapped = nullptr;
  const auto size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(clean.data()), utf8proc_ssize_t(clean.size()),
                                 &mapped, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | form));
  if (size < 0) fail("cannot normalize a text of ", text.size(), " bytes: ", utf8proc_errmsg(size));
  std::string out(reinterpret_cast<const char*>(mapped), size_t(size));
  std::free(mapped);
  return out;
}

/// Bytes of the white space character at `at`, 0 if there is another one.
size_t white_space_bytes(std::string_view text, size_t at) {
  const auto c = static_cast<unsigned char>(text[at]);
  if (c < 0x80) return is_white_space(c) ? 1 : 0;
  char32_t wide = 0;
  bool ok = false;
  const size_t bytes = decode(text, at, wide, ok);
  return is_white_space(wide) ? bytes : 0;
}

}  // namespace unicode_detail

bool is_ascii(std::string_view text) {
  size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    uint64_t word = 0;
    std::memcpy(&word, text.data() + i, 8);
    if (word & 0x8080808080808080ull) return false;
  }
  for (; i < text.size(); ++i) {
    if (static_cast<unsigned char>(text[i]) >= 0x80) return false;
  }
  return true;
}

char32_t next_code_point(std::string_view text, size_t& at) {
  char32_t c = 0;
  bool ok = false;
  at += unicode_detail::decode(text, at, c, ok);
  return c;
}

void append_utf8(std::string& out, char32_t c) {
  if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) c = unicode_detail::kReplacement;
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | (c >> 6));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | (c >> 12));
    out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (c >> 18));
    out += static_cast<char>(0x80 | ((c >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  }
}

std::u32string decode_utf8(std::string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) out += next_code_point(text, at);
  return out;
}

std::string encode_utf8(std::u32string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char32_t c : text) append_utf8(out, c);
  return out;
}

std::string replace_malformed_utf8(std::string_view text) {
  return valid_utf8(text) ? std::string(text) : encode_utf8(decode_utf8(text));
}

bool is_white_space(char32_t c) {
  if (c < 0x80) return c == 0x20 || (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x1F);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
         c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_letter(char32_t c) {
  const auto category = unicode_detail::category(c);
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

bool is_number(char32_t c) {
  const auto category = unicode_detail::category(c);
  return category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO;
}

bool is_mark(char32_t c) {
  const auto category = unicode_detail::category(c);
  return category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME;
}

bool is_nonspacing_mark(char32_t c) { return unicode_detail::category(c) == UTF8PROC_CATEGORY_MN; }

bool is_other(char32_t c) {
  const auto category = unicode_detail::category(c);
  return category == UTF8PROC_CATEGORY_CN || (category >= UTF8PROC_CATEGORY_CC && category <= UTF8PROC_CATEGORY_CO);
}

bool is_space_separator(char32_t c) { return unicode_detail::category(c) == UTF8PROC_CATEGORY_ZS; }

bool is_punctuation(char32_t c) {
  const auto category = unicode_detail::category(c);
  return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

bool is_decimal_digit(char32_t c) { return unicode_detail::category(c) == UTF8PROC_CATEGORY_ND; }

std::string_view strip(std::string_view text) {
  while (!text.empty()) {
    const size_t bytes = unicode_detail::white_space_bytes(text, 0);
    if (bytes == 0) break;
    text.remove_prefix(bytes);
  }
  while (!text.empty()) {
    size_t at = text.size() - 1;
    while (at > 0 && text.size() - at < 4 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
    if (unicode_detail::white_space_bytes(text, at) != text.size() - at) break;
    text.remove_suffix(text.size() - at);
  }
  return text;
}

std::string squash(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  bool gap = false;
  for (size_t at = 0; at < text.size();) {
    const size_t bytes = unicode_detail::white_space_bytes(text, at);
    if (bytes > 0) {
      gap = true;
      at += bytes;
      continue;
    }
    if (gap && !out.empty()) out += ' ';
    gap = false;
    out += text[at++];
  }
  return out;
}

std::vector<std::string> split_white_space(std::string_view text) {
  std::vector<std::string> parts;
  bool inside = false;
  for (size_t at = 0; at < text.size();) {
    const size_t bytes = unicode_detail::white_space_bytes(text, at);
    if (bytes > 0) {
      inside = false;
      at += bytes;
      continue;
    }
    if (!inside) parts.emplace_back();
    inside = true;
    parts.back() += text[at++];
  }
  return parts;
}

std::string lower(std::string_view text) { return unicode_detail::lowered(text, unicode_detail::Rule::full); }
std::string lower_each(std::string_view text) { return unicode_detail::lowered(text, unicode_detail::Rule::each); }
std::string lower_simple(std::string_view text) { return unicode_detail::lowered(text, unicode_detail::Rule::simple); }

std::string upper_each(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    // The characters of SpecialCasing.txt that occur outside Greek and Armenian.
    switch (c) {
      case 0xDF: out += "SS"; break;
      case 0x149: out += "\xCA\xBCN"; break;
      case 0x1F0: out += "J\xCC\x8C"; break;
      case 0xFB00: out += "FF"; break;
      case 0xFB01: out += "FI"; break;
      case 0xFB02: out += "FL"; break;
      case 0xFB03: out += "FFI"; break;
      case 0xFB04: out += "FFL"; break;
      case 0xFB05:
      case 0xFB06: out += "ST"; break;
      default: append_utf8(out, char32_t(utf8proc_toupper(utf8proc_int32_t(c))));
    }
  }
  return out;
}

std::string nfd(std::string_view text) { return unicode_detail::normalized(text, UTF8PROC_DECOMPOSE); }
std::string nfc(std::string_view text) { return unicode_detail::normalized(text, UTF8PROC_COMPOSE); }
std::string nfkc(std::string_view text) { return unicode_detail::normalized(text, UTF8PROC_COMPOSE | UTF8PROC_COMPAT); }

}  // namespace vlm
