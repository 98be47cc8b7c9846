#include "vlm/text/clip_tokenizer.h"

#include <algorithm>
#include <array>
#include <unordered_map>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/text/bpe.h"
#include "vlm/text/unicode.h"

namespace vlm {

namespace clip_bpe {

enum class Kind : uint8_t { other, space, letter, number };

constexpr std::array<Kind, 128> kAsciiKinds = [] {
  std::array<Kind, 128> kinds{};
  for (int c = 0; c < 128; ++c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    kinds[size_t(c)] = letter                               ? Kind::letter
                       : c >= '0' && c <= '9'               ? Kind::number
                       : c == ' ' || (c >= 0x09 && c <= 0x0D) ? Kind::space
                                                            : Kind::other;
  }
  return kinds;
}();

/// What the character at `at` is; `bytes` is its length. White space here is what a regular expression's \s is, which
/// does not hold U+001C to U+001F.
Kind kind_at(std::string_view text, size_t at, size_t& bytes) {
  const auto first = static_cast<unsigned char>(text[at]);
  if (first < 0x80) {
    bytes = 1;
    return kAsciiKinds[first];
  }
  size_t end = at;
  const char32_t c = next_code_point(text, end);
  bytes = end - at;
  if (is_letter(c)) return Kind::letter;
  if (is_number(c)) return Kind::number;
  return is_white_space(c) ? Kind::space : Kind::other;
}

/// Bytes at `at` that match a lower-case literal; 0 if they do not. Without regard to case, U+017F counts as "s".
size_t match_literal(std::string_view text, size_t at, std::string_view literal, bool any_case) {
  size_t i = at;
  for (const char wanted : literal) {
    if (i >= text.size()) return 0;
    const char c = text[i];
    if (c == wanted || (any_case && c >= 'A' && c <= 'Z' && c + 32 == wanted)) {
      ++i;
    } else if (any_case && wanted == 's' && text.substr(i, 2) == "\xC5\xBF") {
      i += 2;
    } else {
      return 0;
    }
  }
  return i - at;
}

constexpr std::string_view kContractions[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};

}  // namespace clip_bpe

class ClipTokenizer : public Tokenizer {
 public:
  ClipTokenizer(const ClipVocabulary& vocabulary, const ClipTokenizerOptions& options)
      : Tokenizer(options.rules == ClipRules::hf ? "hf_clip" : "clip",
                  {vocabulary.sot, vocabulary.eot,
                   options.pad_id >= 0 ? options.pad_id : options.rules == ClipRules::hf ? vocabulary.eot : 0,
                   options.rules == ClipRules::hf ? vocabulary.eot : -1}),
        options_(options),
        pieces_(vocabulary.pieces),
        start_(options.rules == ClipRules::hf ? "<|startoftext|>" : "<start_of_text>"),
        end_(options.rules == ClipRules::hf ? "<|endoftext|>" : "<end_of_text>") {
    if (vocabulary.sot < 0 || vocabulary.eot < 0 || std::max(vocabulary.sot, vocabulary.eot) >= vocab_size()) {
      fail("the ids of start and end, ", vocabulary.sot, " and ", vocabulary.eot, ", lie outside the vocabulary of ", vocab_size());
    }
    pieces_[static_cast<size_t>(vocabulary.sot)] = start_;
    pieces_[static_cast<size_t>(vocabulary.eot)] = end_;
    for (size_t id = 0; id < pieces_.size(); ++id) ids_[pieces_[id]] = static_cast<int32_t>(id);
    for (int byte = 0; byte < 256; ++byte) {
      inner_[byte] = symbol_id(bytes_.symbol[byte]);
      final_[byte] = symbol_id(bytes_.symbol[byte] + "</w>");
    }
    for (const auto& [left, right] : vocabulary.merges) {
      const auto l = ids_.find(left), r = ids_.find(right), merged = ids_.find(left + right);
      // A merge of symbols that no other merge gives can never come up.
      if (l != ids_.end() && r != ids_.end() && merged != ids_.end()) merges_.add(l->second, r->second, merged->second);
    }
  }

  std::string clean(std::string_view text) const override {
    if (options_.rules == ClipRules::open_clip) return clean_text(replace_malformed_utf8(text), options_.clean);
    const std::string composed = nfc(text);
    std::string out;
    size_t bytes = 0;
    bool space = false;
    for (size_t at = 0; at < composed.size(); at += bytes) {
      const bool now = clip_bpe::kind_at(composed, at, bytes) == clip_bpe::Kind::space;
      if (now && !space) out += ' ';
      if (!now) out.append(composed, at, bytes);
      space = now;
    }
    return lower_each(out);
  }

  std::vector<int64_t> encode(std::string_view text) const override {
    std::vector<int64_t> ids;
    if (options_.rules == ClipRules::open_clip) {
      cut(clean(text), ids);
      return ids;
    }
    // Here specials are found before anything is done to the text.
    while (!text.empty()) {
      const size_t start = text.find(start_), end = text.find(end_);
      const size_t special = std::min(start, end);
      cut(clean(text.substr(0, special)), ids);
      if (special == std::string_view::npos) break;
      ids.push_back(start < end ? specials().bos : specials().eos);
      text.remove_prefix(special + (start < end ? start_ : end_).size());
    }
    return ids;
  }

  std::string decode(const std::vector<int64_t>& ids) const override {
    std::string symbols;
    for (const int64_t id : ids) symbols += id_to_piece(id);
    const std::string text = replace_malformed_utf8(bytes_.to_bytes(symbols));
    return join(split(text, "</w>"), " ");
  }

  /// The pad id 0 is the piece "!" as well, so that a text ends at the first end, not where no more padding is.
  bool is_special(int64_t id) const override { return id == specials().bos || id == specials().eos; }

  std::string caption_of(const std::vector<int64_t>& ids) const override {
    return Tokenizer::caption_of({ids.begin(), std::find(ids.begin(), ids.end(), specials().eos)});
  }

  int64_t vocab_size() const override { return static_cast<int64_t>(pieces_.size()); }

  std::string id_to_piece(int64_t id) const override {
    if (id < 0 || id >= vocab_size()) fail("id ", id, " is not in the vocabulary of ", vocab_size(), " pieces");
    return pieces_[static_cast<size_t>(id)];
  }

  std::optional<int64_t> piece_to_id(std::string_view piece) const override {
    const auto it = ids_.find(std::string(piece));
    return it == ids_.end() ? std::nullopt : std::optional<int64_t>(it->second);
  }

 private:
  int32_t symbol_id(const std::string& symbol) const {
    const auto it = ids_.find(symbol);
    if (it == ids_.end()) fail("the vocabulary lacks the byte symbol '", symbol, "'; is it one of CLIP?");
    return it->second;
  }

  /// Cuts into words and those into pieces.
  void cut(std::string_view text, std::vector<int64_t>& ids) const {
    using clip_bpe::Kind;
    size_t bytes = 0;
    for (size_t at = 0; at < text.size();) {
      const Kind kind = kind_at(text, at, bytes);
      size_t length = bytes;
      if (kind == Kind::letter || kind == Kind::other) {
        const size_t literal = kind == Kind::other ? literal_at(text, at) : 0;
        if (literal > 0) {
          length = literal;
        } else {
          while (at + length < text.size() && kind_at(text, at + length, bytes) == kind) length += bytes;
        }
      }
      const std::string_view word = text.substr(at, length);
      at += length;
      if (kind == Kind::space) continue;
      if (options_.rules == ClipRules::hf && (word == start_ || word == end_)) {
        // Only lower-casing makes a special token here, and that one is cut once more, at its brackets.
        for (const auto part : {word.substr(0, 2), word.substr(2, length - 4), word.substr(length - 2)}) append_word(part, ids);
      } else {
        append_word(word, ids);
      }
    }
  }

  clip_bpe::Kind kind_at(std::string_view text, size_t at, size_t& bytes) const {
    const clip_bpe::Kind kind = clip_bpe::kind_at(text, at, bytes);
    // Without regard to case U+0345 is a letter by its capital and none by itself; the reference's pattern then matches
    // neither words nor the rest, and skips it.
    const bool skipped = bytes == 2 && text.substr(at, 2) == "\xCD\x85" && options_.rules == ClipRules::open_clip;
    return skipped ? clip_bpe::Kind::space : kind;
  }

  /// Bytes of a special token or of the end of a contraction; 0 if there is none.
  size_t literal_at(std::string_view text, size_t at) const {
    const bool any_case = options_.rules == ClipRules::open_clip;
    if (text[at] == '<') {
      const size_t start = clip_bpe::match_literal(text, at, start_, any_case);
      return start > 0 ? start : clip_bpe::match_literal(text, at, end_, any_case);
    }
    if (text[at] != '\'') return 0;
    for (const auto contraction : clip_bpe::kContractions) {
      if (const size_t length = clip_bpe::match_literal(text, at, contraction, any_case)) return length;
    }
    return 0;
  }

  void append_word(std::string_view word, std::vector<int64_t>& ids) const {
    if (options_.rules == ClipRules::open_clip && word[0] == '<') {
      if (word == start_) return ids.push_back(specials().bos);
      if (word == end_) return ids.push_back(specials().eos);
    }
    if (cache_.append(word, ids)) return;
    std::vector<int32_t> symbols;
    symbols.reserve(word.size());
    for (const char c : word) symbols.push_back(inner_[static_cast<unsigned char>(c)]);
    symbols.back() = final_[static_cast<unsigned char>(word.back())];
    merges_.apply(symbols);
    const size_t first = ids.size();
    ids.insert(ids.end(), symbols.begin(), symbols.end());
    cache_.remember(word, ids.data() + first, symbols.size());
  }

  ClipTokenizerOptions options_;
  std::vector<std::string> pieces_;
  std::string start_, end_;
  std::unordered_map<std::string, int32_t> ids_;
  ByteSymbols bytes_;
  int32_t inner_[256], final_[256];
  BpeMerges merges_;
  WordCache cache_;
};

std::shared_ptr<const Tokenizer> make_clip_tokenizer(const ClipVocabulary& vocabulary, const ClipTokenizerOptions& options) {
  return std::make_shared<ClipTokenizer>(vocabulary, options);
}

}  // namespace vlm
