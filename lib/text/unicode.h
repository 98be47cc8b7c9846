#pragma once
/// Unicode on UTF-8 strings: decoding, white space, case, normal forms. The tables are utf8proc's (Unicode 15).
///
/// Functions that take text accept any bytes; a malformed sequence counts as U+FFFD, one for each maximal part that a
/// well-formed character could have begun with (Unicode 3.9, as the WHATWG decoder does it).

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "vlm/core/strings.h"  // valid_utf8

namespace vlm {

/// True if all bytes are below 0x80.
bool is_ascii(std::string_view text);

/// The character at byte `at`, which moves behind it. `at` must lie inside the text.
char32_t next_code_point(std::string_view text, size_t& at);
/// Appends a character; surrogates and numbers above U+10FFFF become U+FFFD.
void append_utf8(std::string& out, char32_t c);
std::u32string decode_utf8(std::string_view text);
std::string encode_utf8(std::u32string_view text);
/// The same text with U+FFFD where it was malformed.
std::string replace_malformed_utf8(std::string_view text);

/// White_Space and U+001C to U+001F (specs: data, section 1; also what Python strips and splits at).
bool is_white_space(char32_t c);
/// General categories Lu, Ll, Lt, Lm, Lo.
bool is_letter(char32_t c);
/// General categories Nd, Nl, No.
bool is_number(char32_t c);
/// General categories Mn, Mc, Me: combining marks.
bool is_mark(char32_t c);
/// General category Mn: marks that take no room of their own.
bool is_nonspacing_mark(char32_t c);
/// General categories C*: control, format, private, unassigned.
bool is_other(char32_t c);
/// General category Zs.
bool is_space_separator(char32_t c);
/// General categories P*.
bool is_punctuation(char32_t c);
/// General category Nd: digits of any script.
bool is_decimal_digit(char32_t c);

/// Without white space at both ends; a part of `text`.
std::string_view strip(std::string_view text);
/// Runs of white space become one space, none at the ends.
std::string squash(std::string_view text);
/// The parts between runs of white space, none of them empty.
std::vector<std::string> split_white_space(std::string_view text);

/// Full lower-casing with its two rules beyond single characters: U+0130 becomes two characters, and a capital sigma at
/// the end of a word becomes U+03C2 (Unicode 3.13; what Python's str.lower does).
std::string lower(std::string_view text);
/// Full lower-casing of each character by itself: as lower(), without the rule of the final sigma.
std::string lower_each(std::string_view text);
/// Simple lower-casing: each character becomes one character.
std::string lower_simple(std::string_view text);
/// Full upper-casing of each character by itself, as far as Latin goes (Greek and Armenian ones map one to one).
std::string upper_each(std::string_view text);

/// Normalization forms D, C and KC (UAX 15).
std::string nfd(std::string_view text);
std::string nfc(std::string_view text);
std::string nfkc(std::string_view text);

}  // namespace vlm
