#pragma once
/// Character references of HTML (WHATWG, section 13.2.5.72 on and table 13.5).

#include <string>
#include <string_view>

namespace vlm {

/// What "&name;" stands for, or "" if there is no such name.
std::string_view find_html_entity(std::string_view name);
/// True if "&name" without a semicolon is known, too.
bool is_legacy_html_entity(std::string_view name);

/// Replaces every character reference as a browser would: names with a semicolon, the longest legacy name without one,
/// decimal and hexadecimal numbers (0x80 to 0x9F by Windows-1252; 0, surrogates and numbers above 0x10FFFF become U+FFFD;
/// control codes and non-characters vanish). One pass: what appears is not looked at again. Python's html.unescape.
std::string html_unescape(std::string_view text);

/// What a numeric reference with this number stands for.
std::string html_numeric_reference(unsigned long number);

}  // namespace vlm
