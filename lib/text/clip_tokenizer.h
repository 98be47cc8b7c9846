#pragma once
/// The tokenizer of CLIP: byte-level BPE of lower-cased words (arXiv 2103.00020, 2.4; specs: clip, 10.1 and 10.2).

#include <memory>

#include "vlm/text/clip_vocabulary.h"
#include "vlm/text/text_cleaning.h"
#include "vlm/text/tokenizer.h"

namespace vlm {

/// Two implementations are in use, and they differ in a few texts.
enum class ClipRules {
  open_clip,  ///< cleaned as TextClean says; specials <start_of_text>, <end_of_text>, matched without regard to case; pad 0
  hf,         ///< NFC, white space, lower case of single characters; specials <|startoftext|>, <|endoftext|>; pad = end
};

struct ClipTokenizerOptions {
  ClipRules rules = ClipRules::open_clip;
  TextClean clean = TextClean::lower;  ///< of ClipRules::open_clip
  int64_t pad_id = -1;                 ///< -1: as the rules say
};

/// Throws if the vocabulary lacks a byte symbol.
std::shared_ptr<const Tokenizer> make_clip_tokenizer(const ClipVocabulary& vocabulary, const ClipTokenizerOptions& options = {});

}  // namespace vlm
