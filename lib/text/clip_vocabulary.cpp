#include "vlm/text/clip_vocabulary.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "vlm/core/error.h"
#include "vlm/text/bpe.h"

namespace vlm {

namespace clip_vocabulary {

constexpr size_t kMerges = 49152 - 256 - 2;

int64_t find_piece(const ClipVocabulary& vocabulary, const std::string& piece, const std::filesystem::path& file) {
  const auto it = std::find(vocabulary.pieces.begin(), vocabulary.pieces.end(), piece);
  if (it == vocabulary.pieces.end()) fail(file.string(), ": no piece '", piece, "', so this is not a vocabulary of CLIP");
  return it - vocabulary.pieces.begin();
}

void read_tokenizer_json(ClipVocabulary& vocabulary, const std::filesystem::path& file) {
  const auto json = read_json_object(file);
  const auto& model = json.at("model");
  if (model.value("type", "BPE") != "BPE" || !model.contains("end_of_word_suffix") ||
      model["end_of_word_suffix"] != "</w>") {
    fail(file.string(), ": not a tokenizer of CLIP (model.type BPE with end_of_word_suffix </w>)");
  }
  vocabulary.read_model(model, file);
  for (const auto& token : json.value("added_tokens", nlohmann::json::array())) {
    vocabulary.add_piece(token.at("content").get<std::string>(), token.at("id").get<int64_t>(), file);
  }
}

}  // namespace clip_vocabulary

ClipVocabulary read_clip_merges(const std::filesystem::path& file) {
  ClipVocabulary out;
  out.merges = read_bpe_merges(file, clip_vocabulary::kMerges);
  const ByteSymbols bytes;
  for (const char* end : {"", "</w>"}) {
    for (const unsigned char byte : bytes.order) out.pieces.push_back(bytes.symbol[byte] + end);
  }
  for (const auto& [left, right] : out.merges) out.pieces.push_back(left + right);
  out.sot = static_cast<int64_t>(out.pieces.size());
  out.eot = out.sot + 1;
  out.pieces.emplace_back("<start_of_text>");
  out.pieces.emplace_back("<end_of_text>");
  return out;
}

ClipVocabulary read_hf_clip_vocabulary(const std::filesystem::path& file) {
  ClipVocabulary out;
  try {
    if (file.filename() == "vocab.json") {
      out.read_files(file, file.parent_path() / "merges.txt");
    } else {
      clip_vocabulary::read_tokenizer_json(out, file);
    }
  } catch (const nlohmann::json::exception& error) {
    fail(file.string(), ": not the layout of a tokenizer of CLIP: ", error.what());
  }
  out.sot = clip_vocabulary::find_piece(out, "<|startoftext|>", file);
  out.eot = clip_vocabulary::find_piece(out, "<|endoftext|>", file);
  return out;
}

}  // namespace vlm
