#pragma once
/// SentencePiece models (arXiv 1808.06226) behind the tokenizer interface.

#include <filesystem>
#include <memory>
#include <string>

#include "vlm/text/text_cleaning.h"
#include "vlm/text/tokenizer.h"

namespace vlm {

/// How a sequence is laid out.
enum class SentencePieceLayout {
  model,    ///< [bos] ids [eos], the ids that the model names; filled up with its pad id (else eos, else 0)
  siglip,   ///< ids [eos], filled up with eos (T5's vocabulary, arXiv 2303.15343)
  siglip2,  ///< ids [eos], filled up with the pad id (Gemma's vocabulary, arXiv 2502.14786)
};

struct SentencePieceOptions {
  SentencePieceLayout layout = SentencePieceLayout::model;
  TextClean clean = TextClean::none;
  /// Takes TextClean::squash_lower in place of `clean` if the model comes from `vlm tokenizer train`.
  bool clean_as_trained = true;
  int64_t pad_id = -1;  ///< -1: as the layout says
};

/// Throws if the file is no SentencePiece model.
std::shared_ptr<const Tokenizer> load_sentencepiece(const std::filesystem::path& file, const SentencePieceOptions& options = {});

/// The same from the bytes of such a file.
std::shared_ptr<const Tokenizer> make_sentencepiece(const std::string& bytes, const SentencePieceOptions& options = {});

}  // namespace vlm
