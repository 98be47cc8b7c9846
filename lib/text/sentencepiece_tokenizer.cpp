#include "vlm/text/sentencepiece_tokenizer.h"

#include <sentencepiece_processor.h>

#include <algorithm>

#include "vlm/core/error.h"
#include "vlm/io/atomic_file.h"
#include "vlm/text/charsmap.h"
#include "vlm/text/sentencepiece_trainer.h"
#include "vlm/text/unicode.h"

namespace vlm {

namespace sentencepiece_model {

using Processor = sentencepiece::SentencePieceProcessor;

std::unique_ptr<const Processor> load(const std::string& bytes) {
  return with_context("not a SentencePiece model", [&]() -> std::unique_ptr<const Processor> {
    if (bytes.empty()) fail("the file is empty");
    check_model_charsmaps(bytes);
    auto processor = std::make_unique<Processor>();
    std::string problem;
    try {
      const auto status = processor->LoadFromSerializedProto(bytes);
      if (!status.ok()) problem = status.ToString();
    } catch (const std::exception& error) {
      // Its trie of pieces throws, for a piece that begins with NUL for one.
      problem = error.what();
    }
    if (!problem.empty()) fail(problem);
    return processor;
  });
}

SpecialIds specials_of(const Processor& processor, const SentencePieceOptions& options) {
  SpecialIds specials{processor.bos_id(), processor.eos_id(), processor.pad_id(), processor.unk_id()};
  if (options.layout != SentencePieceLayout::model) {
    if (specials.eos < 0) fail("the SentencePiece model has no eos piece, which SigLIP's texts end with");
    specials.bos = -1;
  }
  if (options.layout == SentencePieceLayout::siglip || specials.pad < 0) specials.pad = std::max<int64_t>(specials.eos, 0);
  if (options.pad_id >= 0) specials.pad = options.pad_id;
  return specials;
}

}  // namespace sentencepiece_model

class SentencePieceTokenizer : public Tokenizer {
 public:
  SentencePieceTokenizer(std::unique_ptr<const sentencepiece_model::Processor> processor,
                         const SentencePieceOptions& options)
      : Tokenizer(options.layout == SentencePieceLayout::siglip    ? "siglip"
                  : options.layout == SentencePieceLayout::siglip2 ? "siglip2"
                                                                   : "sentencepiece",
                  sentencepiece_model::specials_of(*processor, options)),
        clean_(options.clean),
        processor_(std::move(processor)) {
    const int bos = processor_->bos_id();
    if (options.clean_as_trained && bos >= 0 && processor_->IdToPiece(bos) == kStartOfTextPiece)
      clean_ = TextClean::squash_lower;
  }

  std::string clean(std::string_view text) const override { return clean_text(replace_malformed_utf8(text), clean_); }

  std::vector<int64_t> encode(std::string_view text) const override {
    std::vector<int> ids;
    const auto status = processor_->Encode(clean(text), &ids);
    if (!status.ok()) fail("SentencePiece cannot encode a text: ", status.ToString());
    return {ids.begin(), ids.end()};
  }

  std::vector<std::string> pieces(std::string_view text) const override {
    std::vector<std::string> out;
    const auto status = processor_->Encode(clean(text), &out);
    if (!status.ok()) fail("SentencePiece cannot encode a text: ", status.ToString());
    return out;
  }

  std::string decode(const std::vector<int64_t>& ids) const override {
    std::vector<int> narrow;
    for (const int64_t id : ids) narrow.push_back(checked(id));
    std::string out;
    const auto status = processor_->Decode(narrow, &out);
    if (!status.ok()) fail("SentencePiece cannot decode ", ids.size(), " ids: ", status.ToString());
    return out;
  }

  bool is_special(int64_t id) const override {
    return id == specials().eos || processor_->IsControl(checked(id)) || processor_->IsUnknown(checked(id));
  }

  int64_t vocab_size() const override { return processor_->GetPieceSize(); }
  std::string id_to_piece(int64_t id) const override { return processor_->IdToPiece(checked(id)); }

  std::optional<int64_t> piece_to_id(std::string_view piece) const override {
    const int id = processor_->PieceToId(piece);
    if (id < 0 || id >= processor_->GetPieceSize() || processor_->IdToPiece(id) != piece) return std::nullopt;
    return id;
  }

 private:
  int checked(int64_t id) const {
    if (id < 0 || id >= vocab_size()) fail("id ", id, " is not in the vocabulary of ", vocab_size(), " pieces");
    return static_cast<int>(id);
  }

  TextClean clean_;
  std::unique_ptr<const sentencepiece_model::Processor> processor_;
};

std::shared_ptr<const Tokenizer> load_sentencepiece(const std::filesystem::path& file, const SentencePieceOptions& options) {
  return with_context(file.string(), [&] { return make_sentencepiece(read_file(file, uintmax_t(1) << 28), options); });
}

std::shared_ptr<const Tokenizer> make_sentencepiece(const std::string& bytes, const SentencePieceOptions& options) {
  return std::make_shared<SentencePieceTokenizer>(sentencepiece_model::load(bytes), options);
}

}  // namespace vlm
