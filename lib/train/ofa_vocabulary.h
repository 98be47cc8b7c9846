#pragma once
/// The ids of an OFA model: those of texts come from a tokenizer, then one <mask>, codes of pictures, and bins of coordinates
/// (specs: ofa, 3).

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "vlm/models/generator.h"
#include "vlm/text/tokenizer.h"
#include "vlm/train/ofa_rows.h"

namespace vlm {

/// Encodes texts and boxes for a model, whose vocabulary it checks against the tokenizer's.
class OfaVocabulary {
 public:
  /// Throws a usage error that says how config and tokenizer are brought together.
  OfaVocabulary(const Instructed& model, std::shared_ptr<const Tokenizer> tokenizer);

  std::vector<int64_t> text(const std::string& text) const { return tokenizer_->encode(text); }
  /// begin, ids, end
  std::vector<int64_t> source(std::vector<int64_t> ids) const;
  /// Four bins of a box in pixels: round(v / size (bins - 1)), halves to the even one. Values beyond 0 .. size are cut.
  std::vector<int64_t> box(const std::array<double, 4>& pixels, double size) const;
  /// Codes 0 .. codes-1 as ids. Throws a SampleError at `place` for another number.
  std::vector<int64_t> codes(const std::vector<int64_t>& codes, const std::string& place) const;
  /// Prompt and answer as a reply. `prompt`: what the decoder is given, begin first. `ends`: the reply's end is taught too.
  OfaReply reply(const std::vector<int64_t>& prompt, const std::vector<int64_t>& answer, bool ends = true, double weight = 1) const;
  /// The same behind begin alone.
  OfaReply reply(const std::vector<int64_t>& answer, double weight = 1) const { return reply({tokens_.begin}, answer, true, weight); }

  const GenerationTokens& tokens() const { return tokens_; }
  const InstructionVocabulary& ids() const { return ids_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  GenerationTokens tokens_;
  InstructionVocabulary ids_;
};

}  // namespace vlm
