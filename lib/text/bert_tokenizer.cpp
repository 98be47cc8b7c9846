#include "vlm/text/bert_tokenizer.h"

#include <algorithm>
#include <unordered_map>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/io/atomic_file.h"
#include "vlm/text/bpe_vocabulary.h"
#include "vlm/text/unicode.h"

namespace vlm {

namespace bert {

constexpr const char* kSpecials[] = {"[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"};

bool is_cjk(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B820 && c <= 0x2CEAF) || (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

bool splits_words(char32_t c) {
  return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126) || is_punctuation(c);
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  std::string out;
  size_t at = 0;
  for (size_t found; (found = text.find(from, at)) != std::string::npos; at = found + from.size()) {
    out.append(text, at, found - at);
    out += to;
  }
  return out.append(text, at, std::string::npos);
}

SpecialIds specials_of(const std::unordered_map<std::string, int64_t>& ids, const BertTokenizerOptions& options) {
  const auto id = [&](const char* piece) {
    const auto it = ids.find(piece);
    return it == ids.end() ? int64_t(-1) : it->second;
  };
  SpecialIds out{id("[CLS]"), id("[SEP]"), std::max<int64_t>(0, id("[PAD]")), id("[UNK]")};
  if (out.unk < 0) fail("the vocabulary has no [UNK]; is it one of BERT?");
  if (out.bos < 0) fail("the vocabulary has no [CLS], which every sequence begins with");
  if (out.eos < 0 && options.layout == BertLayout::cls_sep) fail("the vocabulary has no [SEP], which every sequence ends with");
  if (options.layout == BertLayout::cls) out.eos = -1;
  if (options.layout == BertLayout::cls_pad) out.eos = 0;
  if (options.pad_id >= 0) out.pad = options.pad_id;
  return out;
}

std::unordered_map<std::string, int64_t> index(const std::vector<std::string>& pieces) {
  std::unordered_map<std::string, int64_t> ids;
  for (size_t id = 0; id < pieces.size(); ++id) {
    if (!pieces[id].empty()) ids[pieces[id]] = static_cast<int64_t>(id);
  }
  return ids;
}

}  // namespace bert

class BertTokenizer : public Tokenizer {
 public:
  BertTokenizer(std::vector<std::string> pieces, const std::unordered_map<std::string, int64_t>& ids, const BertTokenizerOptions& options)
      : Tokenizer("bert", bert::specials_of(ids, options)), options_(options), pieces_(std::move(pieces)), ids_(ids) {
    if (options_.longest_word < 1 || options_.continuation.empty()) fail("WordPiece needs a prefix for continuations and words of some length");
    for (const char* piece : bert::kSpecials) {
      if (const auto it = ids_.find(piece); it != ids_.end()) added_.add({piece, it->second});
    }
    for (const auto& token : options_.added) {
      added_.add(token);
      check_piece_id(token.id, token.content, pieces_.size(), "added tokens");
      const auto id = static_cast<size_t>(token.id);
      if (id >= pieces_.size()) pieces_.resize(id + 1);
      pieces_[id] = token.content;
      ids_[token.content] = token.id;
    }
    for (const auto& [piece, id] : ids_) longest_piece_ = std::max(longest_piece_, piece.size());
  }

  /// Words separated by single spaces, before they are cut into pieces.
  std::string clean(std::string_view text) const override {
    std::vector<std::string> words;
    const std::string cleaned = clean_text(text, options_.clean);
    for (const auto& segment : added_.split(cleaned)) {
      if (segment.id >= 0) {
        words.emplace_back(segment.text);
      } else {
        for (auto& word : words_of(segment.text)) words.push_back(std::move(word));
      }
    }
    return join(words, " ");
  }

  std::vector<int64_t> encode(std::string_view text) const override {
    std::vector<int64_t> ids;
    const std::string cleaned = clean_text(text, options_.clean);
    for (const auto& segment : added_.split(cleaned)) {
      if (segment.id >= 0) {
        ids.push_back(segment.id);
      } else {
        for (const auto& word : words_of(segment.text)) append_pieces(word, ids);
      }
    }
    return ids;
  }

  std::string decode(const std::vector<int64_t>& ids) const override {
    std::string text;
    for (size_t i = 0; i < ids.size(); ++i) {
      if (i) text += ' ';
      text += id_to_piece(ids[i]);
    }
    return clean_up_spaces(bert::replaced(std::move(text), " " + options_.continuation, ""));
  }

  bool is_special(int64_t id) const override {
    const AddedToken* token = added_.by_id(id);
    return token && token->special;
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
  std::vector<std::string> words_of(std::string_view text) const {
    const std::string cased = options_.lower_case ? lower_each(replace_malformed_utf8(text)) : nfc(text);
    std::string spaced;
    for (size_t at = 0; at < cased.size();) {
      const char32_t c = next_code_point(cased, at);
      if (c == '\t' || c == '\n' || c == '\r' || is_space_separator(c)) {
        spaced += ' ';
      } else if (c == 0xFFFD || is_other(c)) {
        continue;
      } else if (options_.split_cjk && bert::is_cjk(c)) {
        spaced += ' ';
        append_utf8(spaced, c);
        spaced += ' ';
      } else {
        append_utf8(spaced, c);
      }
    }
    std::vector<std::string> words;
    for (const auto& word : split_white_space(spaced)) split_punctuation(options_.lower_case ? nfd(lower_each(word)) : word, words);
    return words;
  }

  void split_punctuation(const std::string& word, std::vector<std::string>& words) const {
    bool open = false;
    for (size_t at = 0; at < word.size();) {
      const char32_t c = next_code_point(word, at);
      if (options_.lower_case && is_nonspacing_mark(c)) continue;
      const bool alone = bert::splits_words(c);
      if (alone || !open) words.emplace_back();
      append_utf8(words.back(), c);
      open = !alone;
    }
  }

  /// Longest pieces from the left; a word with a rest that no piece begins is unknown as a whole.
  void append_pieces(const std::string& word, std::vector<int64_t>& ids) const {
    std::vector<size_t> starts;
    for (size_t at = 0; at < word.size(); next_code_point(word, at)) starts.push_back(at);
    if (static_cast<int64_t>(starts.size()) > options_.longest_word) return ids.push_back(specials().unk);
    starts.push_back(word.size());
    const size_t first = ids.size();
    for (size_t begin = 0; begin + 1 < starts.size();) {
      const std::string prefix = begin > 0 ? options_.continuation : "";
      size_t end = starts.size() - 1;
      for (; end > begin; --end) {
        const size_t bytes = starts[end] - starts[begin];
        if (prefix.size() + bytes > longest_piece_) continue;
        const auto it = ids_.find(prefix + word.substr(starts[begin], bytes));
        if (it == ids_.end()) continue;
        ids.push_back(it->second);
        break;
      }
      if (end == begin) {
        ids.resize(first);
        return ids.push_back(specials().unk);
      }
      begin = end;
    }
  }

  BertTokenizerOptions options_;
  std::vector<std::string> pieces_;
  std::unordered_map<std::string, int64_t> ids_;
  AddedTokens added_;
  size_t longest_piece_ = 0;
};

std::shared_ptr<const Tokenizer> make_bert_tokenizer(std::vector<std::string> pieces, const BertTokenizerOptions& options) {
  const auto ids = bert::index(pieces);
  return std::make_shared<BertTokenizer>(std::move(pieces), ids, options);
}

std::vector<std::string> read_bert_vocabulary(const std::filesystem::path& file) {
  auto lines = split(read_file(file, uintmax_t(1) << 26), "\n");
  if (!lines.empty() && lines.back().empty()) lines.pop_back();
  for (auto& line : lines) {
    while (!line.empty() && line.back() == '\r') line.pop_back();
  }
  if (lines.empty()) fail(file.string(), ": no pieces; expected one a line");
  if (static_cast<int64_t>(lines.size()) > kLargestVocabulary) fail(file.string(), ": too many pieces (", lines.size(), ")");
  return lines;
}

bool has_cased_pieces(const std::vector<std::string>& pieces) {
  return std::any_of(pieces.begin(), pieces.end(), [](const std::string& piece) {
    return !piece.empty() && piece[0] != '[' && piece[0] != '<' && std::any_of(piece.begin(), piece.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
  });
}

std::string clean_up_spaces(std::string text) {
  constexpr std::pair<const char*, const char*> kRules[] = {{" .", "."},   {" ?", "?"},   {" !", "!"},   {" ,", ","},    {" ' ", "'"},
                                                           {" n't", "n't"}, {" 'm", "'m"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : kRules) text = bert::replaced(std::move(text), from, to);
  return text;
}

std::string without_bert_specials(std::string text) {
  for (const char* special : {"[SEP]", "[CLS]", "[PAD]"}) text = bert::replaced(std::move(text), special, "");
  return std::string(strip(text));
}

}  // namespace vlm
