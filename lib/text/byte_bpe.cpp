#include "vlm/text/byte_bpe.h"

#include "vlm/core/error.h"
#include "vlm/text/unicode.h"

namespace vlm {

namespace gpt2_words {

enum class Kind { space, letter, number, other };

/// White space is a regular expression's, which does not hold U+001C to U+001F.
Kind kind_at(std::string_view text, size_t at, size_t& bytes) {
  size_t end = at;
  const char32_t c = next_code_point(text, end);
  bytes = end - at;
  if (c < 0x80) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return Kind::letter;
    if (c >= '0' && c <= '9') return Kind::number;
    return c == ' ' || (c >= 0x09 && c <= 0x0D) ? Kind::space : Kind::other;
  }
  if (is_letter(c)) return Kind::letter;
  if (is_number(c)) return Kind::number;
  return is_white_space(c) ? Kind::space : Kind::other;
}

constexpr std::string_view kContractions[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};

size_t contraction_at(std::string_view text, size_t at) {
  if (text[at] != '\'') return 0;
  for (const auto contraction : kContractions) {
    if (text.substr(at, contraction.size()) == contraction) return contraction.size();
  }
  return 0;
}

}  // namespace gpt2_words

std::vector<std::string_view> split_gpt2(std::string_view text) {
  using gpt2_words::Kind;
  std::vector<std::string_view> parts;
  size_t bytes = 0;
  for (size_t at = 0; at < text.size();) {
    size_t length = gpt2_words::contraction_at(text, at);
    if (length == 0) {
      Kind kind = gpt2_words::kind_at(text, at, length);
      if (kind == Kind::space) {
        size_t end = at + length, last = at;
        while (end < text.size() && gpt2_words::kind_at(text, end, bytes) == Kind::space) last = end, end += bytes;
        if (end == text.size()) {
          length = end - at;
        } else if (last > at) {
          length = last - at;  // the last one is left to what follows
        } else if (text[at] == ' ') {
          kind = gpt2_words::kind_at(text, end, bytes);
          length = 1;
        }
      }
      if (kind != Kind::space) {
        while (at + length < text.size() && gpt2_words::kind_at(text, at + length, bytes) == kind) length += bytes;
      }
    }
    parts.push_back(text.substr(at, length));
    at += length;
  }
  return parts;
}

ByteBpe::ByteBpe(BpeVocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {
  for (size_t id = 0; id < vocabulary_.pieces.size(); ++id) {
    if (!vocabulary_.pieces[id].empty()) ids_[vocabulary_.pieces[id]] = static_cast<int32_t>(id);
  }
  for (size_t byte = 0; byte < 256; ++byte) {
    const auto it = ids_.find(symbols_.symbol[byte]);
    if (it == ids_.end()) fail("the vocabulary lacks the byte symbol '", symbols_.symbol[byte], "'; is it one of byte-level BPE?");
    byte_ids_[byte] = it->second;
  }
  for (const auto& [left, right] : vocabulary_.merges) {
    const auto l = ids_.find(left), r = ids_.find(right), merged = ids_.find(left + right);
    // A merge of symbols that no other merge gives can never come up.
    if (l != ids_.end() && r != ids_.end() && merged != ids_.end()) merges_.add(l->second, r->second, merged->second);
  }
}

void ByteBpe::encode(std::string_view text, std::vector<int64_t>& ids) const {
  std::vector<int32_t> symbols;
  for (const auto word : split_gpt2(text)) {
    if (cache_.append(word, ids)) continue;
    symbols.clear();
    for (const char c : word) symbols.push_back(byte_ids_[static_cast<unsigned char>(c)]);
    merges_.apply(symbols);
    const size_t first = ids.size();
    ids.insert(ids.end(), symbols.begin(), symbols.end());
    cache_.remember(word, ids.data() + first, symbols.size());
  }
}

int64_t ByteBpe::id_of(std::string_view piece) const {
  const auto it = ids_.find(std::string(piece));
  return it == ids_.end() ? -1 : it->second;
}

}  // namespace vlm
