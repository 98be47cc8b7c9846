#include "vlm/text/byte_bpe_tokenizer.h"

#include <algorithm>

#include "vlm/core/error.h"
#include "vlm/text/bert_tokenizer.h"
#include "vlm/text/byte_bpe.h"
#include "vlm/text/unicode.h"

namespace vlm {

namespace byte_bpe {

int64_t find(const ByteBpe& bpe, const AddedTokens& added, std::string_view piece) {
  if (const AddedToken* token = added.by_content(piece)) return token->id;
  return bpe.id_of(piece);
}

AddedTokens collect(const ByteBpe& bpe, const ByteBpeOptions& options) {
  AddedTokens added;
  for (const auto& token : options.added) {
    check_piece_id(token.id, token.content, bpe.pieces().size() + options.added.size(), "added tokens");
    added.add(token);
  }
  for (const auto* piece : {&options.bos, &options.eos, &options.pad, &options.unk}) {
    if (piece->empty() || added.by_content(*piece)) continue;
    const int64_t id = bpe.id_of(*piece);
    if (id < 0) fail("the vocabulary has no '", *piece, "', which the tokenizer's configuration names");
    added.add({*piece, id});
  }
  return added;
}

SpecialIds specials_of(const ByteBpe& bpe, const AddedTokens& added, const ByteBpeOptions& options) {
  const auto id = [&](const std::string& piece) { return piece.empty() ? -1 : find(bpe, added, piece); };
  SpecialIds out{id(options.bos), id(options.eos), std::max<int64_t>(0, id(options.pad)), id(options.unk)};
  if (options.pad_id >= 0) out.pad = options.pad_id;
  return out;
}

}  // namespace byte_bpe

class ByteBpeTokenizer : public Tokenizer {
 public:
  ByteBpeTokenizer(std::shared_ptr<const ByteBpe> bpe, const AddedTokens& added, const ByteBpeOptions& options)
      : Tokenizer("byte_bpe", byte_bpe::specials_of(*bpe, added, options)), bpe_(std::move(bpe)), added_(added), options_(options) {}

  std::string clean(std::string_view text) const override {
    const std::string valid = replace_malformed_utf8(text);
    return options_.add_prefix_space && !valid.empty() && valid[0] != ' ' ? " " + valid : valid;
  }

  std::vector<int64_t> encode(std::string_view text) const override {
    std::vector<int64_t> ids;
    for (const auto& segment : added_.split(text)) {
      if (segment.id >= 0) {
        ids.push_back(segment.id);
      } else {
        bpe_->encode(clean(segment.text), ids);
      }
    }
    return ids;
  }

  std::string decode(const std::vector<int64_t>& ids) const override {
    std::string bytes;
    for (const int64_t id : ids) {
      const AddedToken* token = added_.by_id(id);
      bytes += token ? token->content : bpe_->bytes_of(id_to_piece(id));
    }
    const std::string text = replace_malformed_utf8(bytes);
    return options_.clean_up ? clean_up_spaces(text) : text;
  }

  bool is_special(int64_t id) const override {
    const AddedToken* token = added_.by_id(id);
    return token && token->special;
  }

  int64_t vocab_size() const override { return std::max(static_cast<int64_t>(bpe_->pieces().size()), added_.largest_id() + 1); }

  std::string id_to_piece(int64_t id) const override {
    if (const AddedToken* token = added_.by_id(id)) return token->content;
    if (id < 0 || id >= vocab_size()) fail("id ", id, " is not in the vocabulary of ", vocab_size(), " pieces");
    return static_cast<size_t>(id) < bpe_->pieces().size() ? bpe_->pieces()[static_cast<size_t>(id)] : "";
  }

  std::optional<int64_t> piece_to_id(std::string_view piece) const override {
    const int64_t id = byte_bpe::find(*bpe_, added_, piece);
    return id < 0 ? std::nullopt : std::optional<int64_t>(id);
  }

 private:
  std::shared_ptr<const ByteBpe> bpe_;
  AddedTokens added_;
  ByteBpeOptions options_;
};

std::shared_ptr<const Tokenizer> make_byte_bpe_tokenizer(BpeVocabulary vocabulary, const ByteBpeOptions& options) {
  const auto bpe = std::make_shared<ByteBpe>(std::move(vocabulary));
  return std::make_shared<ByteBpeTokenizer>(bpe, byte_bpe::collect(*bpe, options), options);
}

}  // namespace vlm
