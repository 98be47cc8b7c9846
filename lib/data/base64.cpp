#include "vlm/data/base64.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace vlm {

namespace base64 {

constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::array<int8_t, 256> make_values() {
  std::array<int8_t, 256> values{};
  for (auto& value : values) value = -1;
  for (size_t i = 0; i < digits.size(); ++i) values[static_cast<unsigned char>(digits[i])] = static_cast<int8_t>(i);
  values['-'] = 62;
  values['_'] = 63;
  return values;
}

constexpr std::array<int8_t, 256> values = make_values();

}  // namespace base64

std::optional<std::string> decode_base64(std::string_view text) {
  while (!text.empty() && text.back() == '=') text.remove_suffix(1);
  if (text.size() % 4 == 1) return std::nullopt;
  const auto value = [&](size_t i) { return static_cast<int32_t>(base64::values[static_cast<unsigned char>(text[i])]); };
  const size_t groups = text.size() / 4, rest = text.size() % 4;
  std::string out(groups * 3 + (rest ? rest - 1 : 0), '\0');
  char* to = out.data();
  int32_t bad = 0;  // negative as soon as one character is of neither alphabet
  for (size_t i = 0; i < 4 * groups; i += 4, to += 3) {
    const int32_t a = value(i), b = value(i + 1), c = value(i + 2), d = value(i + 3);
    bad |= a | b | c | d;
    to[0] = static_cast<char>(a << 2 | b >> 4);
    to[1] = static_cast<char>(b << 4 | c >> 2);
    to[2] = static_cast<char>(c << 6 | d);
  }
  if (rest > 0) {
    const int32_t a = value(4 * groups), b = value(4 * groups + 1), c = rest > 2 ? value(4 * groups + 2) : 0;
    bad |= a | b | c;
    to[0] = static_cast<char>(a << 2 | b >> 4);
    if (rest > 2) to[1] = static_cast<char>(b << 4 | c >> 2);
  }
  if (bad < 0) return std::nullopt;
  return out;
}

std::string encode_base64(std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t there = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k) group = group << 8 | (k < there ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    for (size_t k = 0; k < 4; ++k) out += k <= there ? base64::digits[group >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

}  // namespace vlm
