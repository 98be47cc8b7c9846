#include "vlm/text/clip_vocabulary.h"

#include <zlib.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/io/atomic_file.h"
#include "vlm/text/bpe.h"

namespace vlm {

namespace clip_vocabulary {

constexpr size_t kMerges = 49152 - 256 - 2;
constexpr size_t kLargestFile = size_t(1) << 26;
constexpr int64_t kLargestVocabulary = 10'000'000;

/// A file that may be compressed with gzip.
std::string read_unpacked(const std::filesystem::path& file) {
  const gzFile in = gzopen(file.c_str(), "rb");
  if (!in) fail(file.string(), ": cannot be opened");
  std::string out;
  std::vector<char> buffer(1 << 16);
  int bytes = 0;
  while ((bytes = gzread(in, buffer.data(), static_cast<unsigned>(buffer.size()))) > 0 && out.size() <= kLargestFile) {
    out.append(buffer.data(), static_cast<size_t>(bytes));
  }
  int code = Z_OK;
  const std::string message = gzerror(in, &code);
  gzclose(in);
  if (bytes < 0 || (code != Z_OK && code != Z_STREAM_END))
    fail(file.string(), ": ", message.empty() ? "ends too early" : message);
  if (out.size() > kLargestFile)
    fail(file.string(), ": too large for a vocabulary (more than ", human_bytes(double(kLargestFile)), ")");
  return out;
}

/// Merges from line 1 on, at most `most`.
std::vector<std::pair<std::string, std::string>> parse_merges(const std::string& text, const std::filesystem::path& file,
                                                              size_t most) {
  std::vector<std::pair<std::string, std::string>> merges;
  const auto lines = split(text, "\n");
  for (size_t i = 1; i < lines.size() && merges.size() < most; ++i) {
    std::string_view line = lines[i];
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty() && i + 1 == lines.size()) break;
    const size_t space = line.find(' ');
    if (space == std::string_view::npos || space == 0 || space + 1 == line.size() ||
        line.find(' ', space + 1) != std::string_view::npos) {
      fail(file.string(), ": line ", i + 1, " is not two symbols separated by a space");
    }
    merges.emplace_back(line.substr(0, space), line.substr(space + 1));
  }
  if (merges.empty()) fail(file.string(), ": no merges; expected a header line, then two symbols a line");
  return merges;
}

void add_piece(ClipVocabulary& vocabulary, const std::string& piece, int64_t id, const std::filesystem::path& file) {
  if (id < 0 || id >= kLargestVocabulary) fail(file.string(), ": '", piece, "' has id ", id);
  if (static_cast<size_t>(id) >= vocabulary.pieces.size()) vocabulary.pieces.resize(static_cast<size_t>(id) + 1);
  vocabulary.pieces[static_cast<size_t>(id)] = piece;
}

int64_t find_piece(const ClipVocabulary& vocabulary, const std::string& piece, const std::filesystem::path& file) {
  const auto it = std::find(vocabulary.pieces.begin(), vocabulary.pieces.end(), piece);
  if (it == vocabulary.pieces.end()) fail(file.string(), ": no piece '", piece, "', so this is not a vocabulary of CLIP");
  return it - vocabulary.pieces.begin();
}

nlohmann::json parse_json(const std::filesystem::path& file) {
  auto json = nlohmann::json::parse(read_file(file, kLargestFile), nullptr, false);
  if (!json.is_object()) fail(file.string(), ": not a JSON object");
  return json;
}

void read_tokenizer_json(ClipVocabulary& vocabulary, const std::filesystem::path& file) {
  const auto json = parse_json(file);
  const auto& model = json.at("model");
  if (model.value("type", "BPE") != "BPE" || !model.contains("end_of_word_suffix") ||
      model["end_of_word_suffix"] != "</w>") {
    fail(file.string(), ": not a tokenizer of CLIP (model.type BPE with end_of_word_suffix </w>)");
  }
  for (const auto& [piece, id] : model.at("vocab").items()) add_piece(vocabulary, piece, id.get<int64_t>(), file);
  for (const auto& token : json.value("added_tokens", nlohmann::json::array())) {
    add_piece(vocabulary, token.at("content").get<std::string>(), token.at("id").get<int64_t>(), file);
  }
  for (const auto& merge : model.at("merges")) {
    if (merge.is_array()) {
      vocabulary.merges.emplace_back(merge.at(0).get<std::string>(), merge.at(1).get<std::string>());
      continue;
    }
    const auto parts = split(merge.get<std::string>(), " ");
    if (parts.size() != 2) fail(file.string(), ": merge '", merge.get<std::string>(), "' is not two symbols");
    vocabulary.merges.emplace_back(parts[0], parts[1]);
  }
}

}  // namespace clip_vocabulary

ClipVocabulary read_clip_merges(const std::filesystem::path& file) {
  ClipVocabulary out;
  out.merges = clip_vocabulary::parse_merges(clip_vocabulary::read_unpacked(file), file, clip_vocabulary::kMerges);
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
      const auto vocabulary = clip_vocabulary::parse_json(file);
      for (const auto& [piece, id] : vocabulary.items()) clip_vocabulary::add_piece(out, piece, id.get<int64_t>(), file);
      const auto merges = file.parent_path() / "merges.txt";
      out.merges = clip_vocabulary::parse_merges(clip_vocabulary::read_unpacked(merges), merges, std::string::npos);
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
