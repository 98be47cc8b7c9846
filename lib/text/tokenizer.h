#pragma once
/// Text to ids and back: the one interface that every tokenizer has.
///
///   const auto tokenizer = load_tokenizer("clip-vit-b32");
///   const auto ids = tokenizer->encode_padded("a photo of a cat", 77);   // [sot, …, eot, 0, …]
///
/// All member functions may be called from several threads at once.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vlm/core/config.h"

namespace vlm {

/// Ids with a meaning of their own; -1: the vocabulary has none, or sequences do not use it.
struct SpecialIds {
  int64_t bos = -1;  ///< opens a sequence (CLIP: <start_of_text>)
  int64_t eos = -1;  ///< closes a sequence (CLIP: <end_of_text>)
  int64_t pad = 0;   ///< fills a sequence up to the context length
  int64_t unk = -1;  ///< stands for what no piece covers
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// The text after this tokenizer's clean-up.
  virtual std::string clean(std::string_view text) const = 0;
  /// Ids of the cleaned text, without specials, of any length. Malformed UTF-8 counts as U+FFFD.
  virtual std::vector<int64_t> encode(std::string_view text) const = 0;
  /// The pieces of the cleaned text, one for each id; where a piece is unknown, the part of the text that it stands for.
  virtual std::vector<std::string> pieces(std::string_view text) const;
  /// The text of some ids. Throws if one is not in the vocabulary.
  virtual std::string decode(const std::vector<int64_t>& ids) const = 0;

  /// Ids are 0 .. vocab_size()-1.
  virtual int64_t vocab_size() const = 0;
  /// The piece with this id, as the vocabulary writes it. Throws if there is none.
  virtual std::string id_to_piece(int64_t id) const = 0;
  virtual std::optional<int64_t> piece_to_id(std::string_view piece) const = 0;
  /// The id of a piece that must be there ("[DEC]"). Throws if it is not.
  int64_t id_of(std::string_view piece) const;
  /// True for pieces that are no text: bos, eos, pad, unk and whatever else the vocabulary declares so.
  virtual bool is_special(int64_t id) const;
  /// Generated ids as a reader should see them: decoded without specials, stripped. Ids beyond the vocabulary are left out,
  /// too: some models begin with one that their tokenizer's files do not list.
  virtual std::string caption_of(const std::vector<int64_t>& ids) const;
  const SpecialIds& specials() const { return specials_; }
  /// "clip", "hf_clip", "sentencepiece" …: the family whose rules it follows.
  const std::string& family() const { return family_; }

  /// [bos] ids [eos], cut to `context_length` with the last id overwritten by eos; bos and eos where the family has them.
  std::vector<int64_t> with_specials(const std::vector<int64_t>& ids, int64_t context_length) const;
  /// encode, with_specials, filled up with pad: exactly `context_length` ids.
  std::vector<int64_t> encode_padded(std::string_view text, int64_t context_length) const;
  /// Rows of encode_padded one after the other, [B, context_length].
  std::vector<int64_t> encode_batch(const std::vector<std::string>& texts, int64_t context_length) const;

 protected:
  Tokenizer(std::string family, SpecialIds specials) : family_(std::move(family)), specials_(specials) {}

 private:
  std::string family_;
  SpecialIds specials_;
};

struct TokenizerOptions {
  std::string family = "auto";
  std::string clean = "auto";
  int64_t pad_id = -1;

  void fields(Fields& f) {
    f.field("family", family, "auto, clip, hf_clip, sentencepiece, siglip, siglip2, bert, mplug, blip, byte_bpe or ofa");
    f.field("clean", clean, "auto, or a clean-up of text/text_cleaning.h in place of the family's own");
    f.field("pad_id", pad_id, "the id that fills a sequence up; -1: the family's own");
  }
};

/// Loads the tokenizer of a file or a model folder.
///
/// | file | family |
/// |---|---|
/// | bpe_simple_vocab_16e6.txt.gz (or unpacked) | clip |
/// | vocab.txt | bert; blip or mplug where config.json (or mPLUG's config.yaml) says so |
/// | vocab.json beside merges.txt | hf_clip, or byte_bpe if it has no <|startoftext|> |
/// | encoder.json beside vocab.bpe and dict.txt | ofa |
/// | tokenizer.json | hf_clip, byte_bpe, bert (or blip) or sentencepiece, as its model is; clip beside open_clip_config.json |
/// | tokenizer.model, spiece.model, *.model | sentencepiece; siglip or siglip2 where config.json or open_clip_config.json says so |
///
/// sentencepiece: [bos] ids [eos] with the ids that the model names, filled up with its pad id (else eos); a vocabulary of
/// `vlm tokenizer train` (bos piece "<start_of_text>") gets its text lower-cased and its white space collapsed, another one
/// as it is. siglip: canonicalized, ids [eos], filled up with eos. siglip2: lower case, ids [eos], filled up with 0.
///
/// bert: [CLS] ids [SEP] (mplug: without [SEP]; blip: with [DEC] and [ENC] where the files do not list them); lower case as
/// tokenizer_config.json says, else unless the vocabulary has capitals. byte_bpe: <s> ids </s> where the vocabulary has these.
/// Tokens of added_tokens.json and tokenizer_config.json are honoured by both.
///
/// Throws an Error that says what was looked for and where.
std::shared_ptr<const Tokenizer> load_tokenizer(const std::filesystem::path& file_or_folder, const TokenizerOptions& options = {});

}  // namespace vlm
