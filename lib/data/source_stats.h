#pragma once
/// What a data set holds, in numbers, and a sheet of some of its pictures.

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <unordered_map>
#include <vector>

#include "vlm/data/source_scan.h"

namespace vlm {

/// Smallest, middle, largest and mean of numbers.
class Spread {
 public:
  void add(double value) {
    values_.push_back(static_cast<float>(value));
    sorted_ = false;
  }
  int64_t count() const { return static_cast<int64_t>(values_.size()); }
  /// The value below which the share `q` of all lies; 0 without values.
  double quantile(double q) const;
  double mean() const;
  nlohmann::ordered_json to_json() const;  ///< min, median, p95, max, mean

 private:
  mutable std::vector<float> values_;
  mutable bool sorted_ = false;
};

struct SourceStats {
  std::string dataset, type;
  int64_t samples = 0, skipped = 0, shards = 0;
  std::map<std::string, int64_t> reasons;
  std::map<std::string, int64_t> splits;  ///< where the file says which
  int64_t captions = 0, questions = 0, answers = 0, boxes = 0, labelled = 0, distinct_images = 0;
  Spread captions_per_sample, caption_words, caption_characters;
  std::unordered_map<std::string, int64_t>
      words;  ///< of captions and questions, lower case, without punctuation at their ends
  std::map<int64_t, int64_t> labels;
  std::unordered_map<std::string, int64_t> answer_counts;
  std::map<std::string, int64_t> formats;  ///< of pictures
  int64_t pictures = 0;
  uint64_t picture_bytes = 0;
  Spread width, height, aspect;  ///< aspect: width over height

  int64_t words_seen_once() const;
  /// The commonest, largest first, equal ones by the alphabet.
  std::vector<std::pair<std::string, int64_t>> commonest_words(size_t n) const;
  std::vector<std::pair<std::string, int64_t>> commonest_answers(size_t n) const;
  nlohmann::ordered_json to_json() const;
};

struct StatsOptions {
  bool pictures = true;  ///< read the pictures' headers
  bool strict = false;   ///< the first sample that cannot be used is thrown on
  int64_t threads = 0;   ///< 0: one for each core
};

SourceStats source_stats(const Source& source, const std::string& type, const StatsOptions& options = {});

/// One picture of a sheet, shrunk.
struct SheetPicture {
  int64_t number = 0;
  std::string key, text;  ///< text: the caption, question or class
  Image image;            ///< longer side at most `side`
};

/// `count` samples drawn at random, in the order of the data set; fewer if pictures do not decode.
std::vector<SheetPicture> sheet_pictures(const Source& source, int64_t count, int64_t seed, int side);
/// They as one picture: white cells, `columns` a row.
Image contact_sheet(const std::vector<SheetPicture>& pictures, int side, int columns);

}  // namespace vlm
