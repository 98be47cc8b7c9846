#pragma once
/// The tokenizer of OFA in fairseq's files: GPT-2's byte-level BPE, numbered by a dictionary (specs: ofa, 3).
///
/// Ids: 0 <s>, 1 <pad>, 2 </s>, 3 <unk>; 4 + k is line k of dict.txt; then <mask>, 8192 codes of image tokens <code_0> …, and
/// 1000 bins of coordinates <bin_0> …. Pieces are spelled in byte symbols, as vocab.json of BART spells them.

#include <filesystem>
#include <memory>

#include "vlm/text/tokenizer.h"

namespace vlm {

inline constexpr int64_t kOfaCodes = 8192, kOfaBins = 1000;

class OfaTokenizer : public Tokenizer {
 public:
  /// Symbols separated by white space, looked up as the dictionary spells them: boxes ("<bin_12>"), codes, and GPT-2's numbers
  /// ("13"). What is not there becomes <unk>.
  virtual std::vector<int64_t> encode_symbols(std::string_view text) const = 0;
  virtual int64_t mask_id() const = 0;
  /// The id of <code_0> and of <bin_0>.
  virtual int64_t first_code() const = 0;
  virtual int64_t first_bin() const = 0;

 protected:
  using Tokenizer::Tokenizer;
};

/// Texts are encoded as they are, without bos and eos, and specials in them are spelled out: "<bin_12>" in running text is no
/// bin. A folder with encoder.json, vocab.bpe and dict.txt.
std::shared_ptr<const OfaTokenizer> load_ofa_tokenizer(const std::filesystem::path& folder);

}  // namespace vlm
