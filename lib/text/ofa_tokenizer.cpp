#include "vlm/text/ofa_tokenizer.h"

#include <unordered_map>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/io/atomic_file.h"
#include "vlm/text/byte_bpe.h"
#include "vlm/text/unicode.h"

namespace vlm {

namespace ofa_files {

/// The symbols of dict.txt: what stands before the last space of each line.
std::vector<std::string> read_dictionary(const std::filesystem::path& file) {
  std::vector<std::string> symbols;
  const auto lines = split(read_file(file, uintmax_t(1) << 26), "\n");
  for (size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].empty() && i + 1 == lines.size()) break;
    const size_t space = lines[i].rfind(' ');
    if (space == std::string::npos || space == 0) fail(file.string(), ": line ", i + 1, " is not a symbol and a count");
    symbols.push_back(lines[i].substr(0, space));
  }
  if (symbols.empty()) fail(file.string(), ": no symbols; expected \"symbol count\" lines");
  return symbols;
}

}  // namespace ofa_files

class FairseqOfaTokenizer : public OfaTokenizer {
 public:
  FairseqOfaTokenizer(BpeVocabulary vocabulary, const std::vector<std::string>& dictionary)
      : OfaTokenizer("ofa", {0, 2, 1, 3}), bpe_(std::move(vocabulary)) {
    for (const char* special : {"<s>", "<pad>", "</s>", "<unk>"}) add_symbol(special);
    for (const auto& symbol : dictionary) add_symbol(symbol);
    mask_ = add_symbol("<mask>");
    code_ = static_cast<int64_t>(symbols_.size());
    for (int64_t i = 0; i < kOfaCodes; ++i) add_symbol("<code_" + std::to_string(i) + ">");
    bin_ = static_cast<int64_t>(symbols_.size());
    for (int64_t i = 0; i < kOfaBins; ++i) add_symbol("<bin_" + std::to_string(i) + ">");
    pieces_ = symbols_;
    for (size_t index = 0; index < bpe_.pieces().size(); ++index) {
      const auto it = by_symbol_.find(std::to_string(index));
      const int64_t id = it == by_symbol_.end() ? specials().unk : it->second;
      by_index_.push_back(id);
      if (it != by_symbol_.end()) pieces_[static_cast<size_t>(id)] = bpe_.pieces()[index];
    }
    for (size_t id = 0; id < pieces_.size(); ++id) by_piece_.emplace(pieces_[id], static_cast<int64_t>(id));
  }

  std::string clean(std::string_view text) const override { return replace_malformed_utf8(text); }

  std::vector<int64_t> encode(std::string_view text) const override {
    std::vector<int64_t> ids;
    bpe_.encode(clean(text), ids);
    for (int64_t& id : ids) id = by_index_[static_cast<size_t>(id)];
    return ids;
  }

  std::vector<int64_t> encode_symbols(std::string_view text) const override {
    std::vector<int64_t> ids;
    for (const auto& symbol : split_white_space(text)) {
      const auto it = by_symbol_.find(symbol);
      ids.push_back(it == by_symbol_.end() ? specials().unk : it->second);
    }
    return ids;
  }

  /// bos, eos and pad vanish; symbols that are no bytes (codes, bins) stand as they are spelled.
  std::string decode(const std::vector<int64_t>& ids) const override {
    std::string bytes;
    for (const int64_t id : ids) {
      const std::string piece = id_to_piece(id);
      if (id == specials().bos || id == specials().eos || id == specials().pad) continue;
      bytes += symbols_[static_cast<size_t>(id)] == piece ? piece : bpe_.bytes_of(piece);
    }
    return replace_malformed_utf8(bytes);
  }

  bool is_special(int64_t id) const override { return Tokenizer::is_special(id) || id == mask_; }

  int64_t vocab_size() const override { return static_cast<int64_t>(symbols_.size()); }

  std::string id_to_piece(int64_t id) const override {
    if (id < 0 || id >= vocab_size()) fail("id ", id, " is not in the vocabulary of ", vocab_size(), " pieces");
    return pieces_[static_cast<size_t>(id)];
  }

  std::optional<int64_t> piece_to_id(std::string_view piece) const override {
    const auto it = by_piece_.find(std::string(piece));
    return it == by_piece_.end() ? std::nullopt : std::optional<int64_t>(it->second);
  }

  int64_t mask_id() const override { return mask_; }
  int64_t first_code() const override { return code_; }
  int64_t first_bin() const override { return bin_; }

 private:
  int64_t add_symbol(const std::string& symbol) {
    const auto id = static_cast<int64_t>(symbols_.size());
    symbols_.push_back(symbol);
    by_symbol_.emplace(symbol, id);
    return id;
  }

  ByteBpe bpe_;
  std::vector<std::string> symbols_;  ///< as the dictionary spells them
  std::vector<std::string> pieces_;   ///< in byte symbols, where a symbol is a number of GPT-2's
  std::unordered_map<std::string, int64_t> by_symbol_, by_piece_;
  std::vector<int64_t> by_index_;     ///< ids by GPT-2's numbers
  int64_t mask_ = 0, code_ = 0, bin_ = 0;
};

std::shared_ptr<const OfaTokenizer> load_ofa_tokenizer(const std::filesystem::path& folder) {
  return with_context(folder.string(), [&] {
    BpeVocabulary vocabulary;
    vocabulary.read_files(folder / "encoder.json", folder / "vocab.bpe");
    return std::make_shared<FairseqOfaTokenizer>(std::move(vocabulary), ofa_files::read_dictionary(folder / "dict.txt"));
  });
}

}  // namespace vlm
