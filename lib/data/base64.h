#pragma once
/// Base64 as data sets hold it: the standard and the url-safe alphabet, also mixed, with or without padding.

#include <optional>
#include <string>
#include <string_view>

namespace vlm {

/// The bytes; none if a character is of neither alphabet (white space, too) or the number of characters is impossible.
std::optional<std::string> decode_base64(std::string_view text);
/// With the standard alphabet and padding.
std::string encode_base64(std::string_view bytes);

}  // namespace vlm
