#pragma once
/// OFA's byte-level BPE in the files of its two layouts (specs: ofa, 3): encoder.json, vocab.bpe and dict.txt of fairseq, and
/// vocab.json, merges.txt and added_tokens.json of HF, which spell the same table.

#include <vector>

#include "vlm/infer/tokenizer_files.h"

namespace vlm {

/// HF's files for the tokenizer of a folder with fairseq's.
std::vector<TokenizerFile> ofa_tokenizer_to_hf(const std::filesystem::path& folder);

/// fairseq's files for the tokenizer of a folder with vocab.json and merges.txt. GPT-2's numbers follow from the merges: the bytes,
/// then what each merge makes. Empty if the vocabulary is none of OFA's (it does not begin with <s>, <pad>, </s>, <unk>).
std::vector<TokenizerFile> ofa_tokenizer_to_fairseq(const std::filesystem::path& folder);

}  // namespace vlm
