#pragma once
/// Vocabularies of one's own: SentencePiece trained on captions, laid out for text towers that are trained from scratch.
///
/// Ids: pad 0 "<pad>", bos 1 "<start_of_text>", eos 2 "<end_of_text>", unk 3 "<unk>", then the pieces. eos is not the
/// largest id as in CLIP's own vocabulary, so such models pool at eos (pool_type "eos", eos_id 2), not at the maximum.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "vlm/core/config.h"

namespace vlm {

inline constexpr char kStartOfTextPiece[] = "<start_of_text>";

struct SentencePieceTrainerOptions {
  int64_t vocab_size = 2000;
  std::string type = "unigram";
  double character_coverage = 0.9995;
  bool byte_fallback = false;

  void fields(Fields& f) {
    f.field("vocab_size", vocab_size, "number of pieces, specials included; fewer come out where the captions allow no more");
    f.field("type", type, "unigram or bpe");
    f.field("character_coverage", character_coverage, "share of the characters of the captions that get a piece of their own");
    f.field("byte_fallback", byte_fallback, "256 more pieces for the bytes of all other characters, so that nothing is unknown");
  }
};

/// Trains on captions (lower-cased and squashed here) and returns the serialized model. The same captions and options give
/// the same bytes. Throws an Error if there is no text or the vocabulary is too small for its characters.
std::string train_sentencepiece(const std::vector<std::string>& captions, const SentencePieceTrainerOptions& options = {});

/// The captions of a file or of all such files below a folder, in order of path:
/// - .txt: one a line; empty lines are left out
/// - .json: every string, or list of strings, under a key "caption" or "captions", at any depth
/// - .jsonl: the same, one JSON value a line
/// Throws an Error if there are none.
std::vector<std::string> read_captions(const std::filesystem::path& file_or_folder);

}  // namespace vlm
