#pragma once
/// Pieces and merges of a byte-pair vocabulary, as its files hold them.

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vlm {

/// No vocabulary has more pieces; a file that says so is broken.
inline constexpr int64_t kLargestVocabulary = 10'000'000;

struct BpeVocabulary {
  std::vector<std::string> pieces;                          ///< by id; "" where an id has none
  std::vector<std::pair<std::string, std::string>> merges;  ///< in order of rank

  /// Throws if the id is out of all proportion.
  void add_piece(const std::string& piece, int64_t id, const std::filesystem::path& file);
  /// {"piece": id, …} and a header line followed by two symbols a line (vocab.json and merges.txt, encoder.json and vocab.bpe).
  void read_files(const std::filesystem::path& vocabulary_file, const std::filesystem::path& merges_file);
  /// The "model" of a tokenizer.json of type BPE.
  void read_model(const nlohmann::json& model, const std::filesystem::path& file);
};

/// Throws if an id is out of proportion to the number of pieces that a file lists: tables are as long as the largest id.
void check_piece_id(int64_t id, std::string_view piece, size_t listed, const std::filesystem::path& file);

/// The merges of a file, plain or gzip, from line 1 on; at most `most`. Throws if a line is not two symbols.
std::vector<std::pair<std::string, std::string>> read_bpe_merges(const std::filesystem::path& file, size_t most = static_cast<size_t>(-1));

/// A JSON object of reasonable size; throws if the file holds something else.
nlohmann::json read_json_object(const std::filesystem::path& file);

}  // namespace vlm
