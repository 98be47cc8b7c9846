#pragma once
/// The files that a tokenizer consists of, carried from one model folder to another.

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace vlm {

struct TokenizerFile {
  std::string name;
  std::string content;
};

/// The files of the tokenizer at `source` (a file or a folder) as the layout `to` ("open_clip", "hf" or "fairseq") has them:
/// copies, for HF a vocab.json with merges.txt in place of OpenAI's bpe_simple_vocab_16e6.txt, and OFA's table spelled as the
/// layout spells it (infer/ofa_tokenizer_files.h). Empty if there is no tokenizer.
std::vector<TokenizerFile> tokenizer_files_for(const std::filesystem::path& source, const std::string& to,
                                               int64_t context_length);

}  // namespace vlm
