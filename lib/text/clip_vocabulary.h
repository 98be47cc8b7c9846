#pragma once
/// The byte-pair vocabulary of CLIP, in its two layouts: OpenAI's merges file and HF's JSON files.

#include <cstdint>
#include <filesystem>

#include "vlm/text/bpe_vocabulary.h"

namespace vlm {

/// Pieces are spelled in byte symbols (text/bpe.h); "</w>" ends a word.
struct ClipVocabulary : BpeVocabulary {
  int64_t sot = 0, eot = 0;  ///< ids of the start and the end of a text
};

/// `bpe_simple_vocab_16e6.txt`, gzip or plain: line 0 is a header, lines 1 … 48894 are merges (fewer make a smaller
/// vocabulary). Ids: 256 byte symbols, the same with "</w>", the merges, start, end (specs: clip, 10.1).
ClipVocabulary read_clip_merges(const std::filesystem::path& file);

/// tokenizer.json, or vocab.json with merges.txt beside it. Ids as the files say.
ClipVocabulary read_hf_clip_vocabulary(const std::filesystem::path& file);

}  // namespace vlm
