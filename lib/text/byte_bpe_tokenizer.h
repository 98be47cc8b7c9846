#pragma once
/// GPT-2, RoBERTa and BART tokenizers: byte-level BPE with added tokens, in HF's layouts of files.

#include <memory>

#include "vlm/text/added_tokens.h"
#include "vlm/text/bpe_vocabulary.h"
#include "vlm/text/tokenizer.h"

namespace vlm {

struct ByteBpeOptions {
  std::string bos, eos, pad, unk;  ///< pieces; "": sequences have none. Where `pad` is "", 0 fills sequences up
  int64_t pad_id = -1;             ///< in place of the id of `pad`
  bool add_prefix_space = false;   ///< a text that does not begin with a space gets one
  bool clean_up = false;           ///< decoded text without spaces before punctuation
  std::vector<AddedToken> added;   ///< cut out of texts before anything else
};

/// Throws if the vocabulary lacks a byte symbol or a piece that the options name.
std::shared_ptr<const Tokenizer> make_byte_bpe_tokenizer(BpeVocabulary vocabulary, const ByteBpeOptions& options = {});

}  // namespace vlm
