#pragma once
/// HF's tokenizer.json, for the four families that released vision-language models use. Each becomes the tokenizer that this
/// project has for the family; a component that none of them has is refused by name.

#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "vlm/text/bert_tokenizer.h"
#include "vlm/text/tokenizer.h"

namespace vlm {

/// "hf_clip" (BPE whose words end in "</w>"), "byte_bpe" (byte-level BPE), "bert" (WordPiece) or "sentencepiece" (Unigram, or
/// BPE with "▁" for spaces). Throws if the file describes something else.
std::string tokenizer_json_family(const nlohmann::json& json, const std::filesystem::path& file);

/// Pieces and options of a WordPiece tokenizer.json.
struct WordPieceFile {
  std::vector<std::string> pieces;
  BertTokenizerOptions options;
};
WordPieceFile read_wordpiece_json(const nlohmann::json& json, const std::filesystem::path& file);

/// Byte-level BPE with GPT-2's pattern. bos and eos are those that its post-processor puts around a text. pad_id: -1: as the
/// files beside it say.
std::shared_ptr<const Tokenizer> make_byte_bpe_of_json(const nlohmann::json& json, const std::filesystem::path& file, int64_t pad_id = -1);

/// Unigram, or BPE of SentencePiece's kind, handed to the SentencePiece library as a model of its own. Specials ("</s>") that
/// stand in a text are spelled out there, as that library does it; added tokens that are not special are found.
std::shared_ptr<const Tokenizer> make_sentencepiece_of_json(const nlohmann::json& json, const std::filesystem::path& file, int64_t pad_id = -1);

}  // namespace vlm
