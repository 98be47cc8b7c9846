#include "vlm/text/bpe_vocabulary.h"

#include <zlib.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

#include "vlm/core/error.h"
#include "vlm/core/json.h"
#include "vlm/core/strings.h"
#include "vlm/io/atomic_file.h"

namespace vlm {

namespace bpe_files {

constexpr size_t kLargestFile = size_t(1) << 26;

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

}  // namespace bpe_files

void BpeVocabulary::add_piece(const std::string& piece, int64_t id, const std::filesystem::path& file) {
  if (id < 0 || id >= kLargestVocabulary) fail(file.string(), ": '", piece, "' has id ", id);
  if (static_cast<size_t>(id) >= pieces.size()) pieces.resize(static_cast<size_t>(id) + 1);
  pieces[static_cast<size_t>(id)] = piece;
}

void BpeVocabulary::read_files(const std::filesystem::path& vocabulary_file, const std::filesystem::path& merges_file) {
  const auto vocabulary = read_json_object(vocabulary_file);
  for (const auto& [piece, id] : vocabulary.items()) {
    if (!id.is_number_integer()) fail(vocabulary_file.string(), ": the id of '", piece, "' is not a whole number");
    check_piece_id(id.get<int64_t>(), piece, vocabulary.size(), vocabulary_file);
    add_piece(piece, id.get<int64_t>(), vocabulary_file);
  }
  merges = read_bpe_merges(merges_file);
}

void BpeVocabulary::read_model(const nlohmann::json& model, const std::filesystem::path& file) {
  const auto& vocabulary = model.at("vocab");
  for (const auto& [piece, id] : vocabulary.items()) {
    check_piece_id(id.get<int64_t>(), piece, vocabulary.size(), file);
    add_piece(piece, id.get<int64_t>(), file);
  }
  for (const auto& merge : model.at("merges")) {
    if (merge.is_array()) {
      merges.emplace_back(merge.at(0).get<std::string>(), merge.at(1).get<std::string>());
      continue;
    }
    const auto parts = split(merge.get<std::string>(), " ");
    if (parts.size() != 2) fail(file.string(), ": merge '", merge.get<std::string>(), "' is not two symbols");
    merges.emplace_back(parts[0], parts[1]);
  }
}

void check_piece_id(int64_t id, std::string_view piece, size_t listed, const std::filesystem::path& file) {
  const int64_t most = std::min<int64_t>(kLargestVocabulary, 2 * static_cast<int64_t>(listed) + 65536);
  if (id < 0 || id >= most) fail(file.string(), ": '", piece, "' has id ", id, " in a list of ", listed, " pieces");
}

std::vector<std::pair<std::string, std::string>> read_bpe_merges(const std::filesystem::path& file, size_t most) {
  return bpe_files::parse_merges(bpe_files::read_unpacked(file), file, most);
}

nlohmann::json read_json_object(const std::filesystem::path& file) {
  auto json = parse_json(read_file(file, bpe_files::kLargestFile));
  if (!json.is_object()) fail(file.string(), ": not a JSON object");
  return json;
}

}  // namespace vlm
