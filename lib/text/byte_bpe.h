#pragma once
/// Byte-level BPE as GPT-2 has it: words with the space before them, as byte symbols (text/bpe.h), merged by rank.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "vlm/text/bpe.h"
#include "vlm/text/bpe_vocabulary.h"

namespace vlm {

/// The parts that GPT-2's pattern finds, which together are the text: contractions ('s 't 're 've 'm 'll 'd in lower case),
/// letters, numbers or other characters, each with one space before it, and white space. Well-formed UTF-8 is expected.
std::vector<std::string_view> split_gpt2(std::string_view text);

class ByteBpe {
 public:
  /// Throws if the vocabulary lacks a byte symbol.
  explicit ByteBpe(BpeVocabulary vocabulary);

  /// Appends the ids of a text.
  void encode(std::string_view text, std::vector<int64_t>& ids) const;
  const std::vector<std::string>& pieces() const { return vocabulary_.pieces; }
  /// -1 if there is none.
  int64_t id_of(std::string_view piece) const;
  /// Bytes that a piece stands for.
  std::string bytes_of(std::string_view piece) const { return symbols_.to_bytes(piece); }

 private:
  BpeVocabulary vocabulary_;
  std::unordered_map<std::string, int32_t> ids_;
  ByteSymbols symbols_;
  std::array<int32_t, 256> byte_ids_{};
  BpeMerges merges_;
  WordCache cache_;
};

}  // namespace vlm
