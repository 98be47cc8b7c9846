#pragma once
/// BERT's WordPiece (arXiv 1810.04805; specs: mplug, 5; clip, 10.3 and 10.4).

#include <filesystem>
#include <memory>

#include "vlm/text/added_tokens.h"
#include "vlm/text/text_cleaning.h"
#include "vlm/text/tokenizer.h"

namespace vlm {

/// How a sequence is laid out.
enum class BertLayout {
  cls_sep,  ///< [CLS] pieces [SEP]
  cls,      ///< [CLS] pieces: mPLUG
  cls_pad,  ///< [CLS] pieces and a 0 where [SEP] would be: CLIPA (strip_sep_token)
};

struct BertTokenizerOptions {
  BertLayout layout = BertLayout::cls_sep;
  bool lower_case = true;          ///< and accents taken off; false: a cased model
  bool split_cjk = true;           ///< every CJK character is a word of its own
  std::string continuation = "##";
  int64_t longest_word = 100;      ///< in characters; longer ones are [UNK]
  TextClean clean = TextClean::none;  ///< before anything else; open_clip cleans up whitespace and entities
  int64_t pad_id = -1;             ///< -1: that of [PAD]
  std::vector<AddedToken> added;   ///< beyond [UNK] [SEP] [PAD] [CLS] [MASK], which are special where the vocabulary has them
};

/// Specials are found before anything else, in exact case, also glued to a word; "[sep]" is ordinary text.
/// `pieces`: by id, as the lines of vocab.txt. Throws if there is no [UNK], or no [CLS] or [SEP] where the layout needs them.
std::shared_ptr<const Tokenizer> make_bert_tokenizer(std::vector<std::string> pieces, const BertTokenizerOptions& options = {});

/// The lines of a vocab.txt.
std::vector<std::string> read_bert_vocabulary(const std::filesystem::path& file);

/// True if ordinary pieces have capitals, as those of cased models do.
bool has_cased_pieces(const std::vector<std::string>& pieces);

/// The spaces that joining words leaves before punctuation and contractions taken out: "is n't ." -> "isn't.".
std::string clean_up_spaces(std::string text);

/// Decoded text without "[SEP]", "[CLS]" and "[PAD]", stripped: what mPLUG calls a caption.
std::string without_bert_specials(std::string text);

}  // namespace vlm
