#include "vlm/text/charsmap.h"

#include <algorithm>
#include <cstdint>
#include <unordered_map>

#include "vlm/core/error.h"

namespace vlm {

namespace charsmap {

/// A replaced text is a few characters long; what goes on beyond this runs in a circle.
constexpr int longest_text = 256;
constexpr int most_replacements = 32;

class Trie {
 public:
  Trie(std::string_view units, std::string_view replacements) : units_(units), replacements_(replacements) {}

  void check() {
    if (unit(0) >> 31) fail("its trie begins with a leaf");
    visit(offset(unit(0)), 0);
  }

 private:
  size_t size() const { return units_.size() / 4; }
  uint32_t unit(size_t i) const {
    uint32_t value = 0;
    for (size_t k = 4; k-- > 0;) value = value << 8 | static_cast<unsigned char>(units_[4 * i + k]);
    return value;
  }
  static size_t offset(uint32_t unit) { return size_t(unit >> 10) << ((unit & (1u << 9)) >> 6); }
  static bool has_leaf(uint32_t unit) { return unit >> 8 & 1; }
  /// A leaf's highest bit is part of its label, so that no byte equals it.
  static uint32_t label(uint32_t unit) { return unit & (1u << 31 | 0xFF); }

  /// Looks at all that can follow the node whose children stand around `base`; the most replacements on a way from there.
  /// Nodes with the same continuations share them, so each is looked at once.
  int visit(size_t base, int length) {
    if (const auto it = done_.find(base); it != done_.end()) return it->second;
    if (length > longest_text) fail("its trie runs in a circle");
    if ((base | 0xFF) >= size()) fail("its trie points to unit ", base | 0xFF, " of ", size());
    int most = 0;
    for (uint32_t byte = 0; byte < 256; ++byte) {
      const uint32_t child = unit(base ^ byte);
      if (label(child) != byte) continue;
      const size_t next = (base ^ byte) ^ offset(child);
      int below = visit(next, length + 1);
      if (has_leaf(child)) {
        const size_t place = unit(next) & ~(1u << 31);
        if (place >= replacements_.size()) fail("a replacement at byte ", place, " of ", replacements_.size());
        ++below;
      }
      most = std::max(most, below);
    }
    if (most > most_replacements) fail("more than ", most_replacements, " replacements for one text");
    done_.emplace(base, most);
    return most;
  }

  std::string_view units_, replacements_;
  std::unordered_map<size_t, int> done_;
};

/// Calls `visit(number, content)` for the fields of a protobuf message that are messages, texts or bytes.
template <class Visit>
void for_each_field(std::string_view message, const Visit& visit) {
  size_t at = 0;
  const auto varint = [&] {
    uint64_t value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
      if (at == message.size()) break;
      const auto byte = static_cast<unsigned char>(message[at++]);
      if (shift < 64) value |= uint64_t(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    fail("not a message of protobuf");
  };
  while (at < message.size()) {
    const uint64_t tag = varint();
    uint64_t size = 0;
    switch (tag & 7) {
      case 0: varint(); continue;
      case 1: size = 8; break;
      case 2: size = varint(); break;
      case 5: size = 4; break;
      default: fail("not a message of protobuf");
    }
    if (tag > UINT32_MAX || size > message.size() - at) fail("not a message of protobuf");
    if ((tag & 7) == 2) visit(tag >> 3, message.substr(at, size));
    at += size;
  }
}

}  // namespace charsmap

void check_charsmap(std::string_view charsmap) {
  if (charsmap.empty()) return;
  with_context("the normalisation table", [&] {
    uint64_t size = 0;
    if (charsmap.size() > 4) {
      for (size_t k = 4; k-- > 0;) size = size << 8 | static_cast<unsigned char>(charsmap[k]);
    }
    if (size == 0 || size % 4 != 0 || size >= charsmap.size() - 4) fail("its trie is cut short");
    const std::string_view replacements = charsmap.substr(4 + size);
    if (replacements.back() != '\0') fail("its last replacement does not end");
    charsmap::Trie(charsmap.substr(4, size), replacements).check();
  });
}

void check_model_charsmaps(std::string_view model) {
  constexpr uint64_t normalizer_spec = 3, denormalizer_spec = 5, precompiled_charsmap = 2;
  charsmap::for_each_field(model, [&](uint64_t field, std::string_view spec) {
    if (field != normalizer_spec && field != denormalizer_spec) return;
    charsmap::for_each_field(spec, [&](uint64_t inner, std::string_view table) {
      if (inner == precompiled_charsmap) check_charsmap(table);
    });
  });
}

}  // namespace vlm
