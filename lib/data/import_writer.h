#pragma once
/// The folder that a set of captioned pictures is written to (specs: real-data, section 4):
///
///   train|val|test-%06d.tar, sizes.json   shards of 500 samples: .png, .txt (first caption), .json, .cls
///   images/<key>.png, samples_<split>.jsonl   instead of shards with Layout::folder
///   classes.txt                           one class name a line; a class number is a position in it
///   captions_<split>.json                 ALBEF list: image, caption (all of them, first the one to evaluate with), image_id
///   vqa_<split>.json                      ALBEF question list: question_id, question, image, dataset, answer (ten times)
///   grounding_<split>.json                where there are boxes: image, text, ref_id, box
///   manifest.json                         where it comes from, options and counts; written last: a folder with it is whole

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "vlm/data/import_questions.h"

namespace vlm {

enum class PictureLayout { shards, folder };
PictureLayout parse_picture_layout(const std::string& name);
const char* layout_name(PictureLayout layout);

/// What a phrase points to: x0, y0, x1, y1 in pixels, the right and lower edge just outside.
struct GroundedPhrase {
  std::string text;
  std::array<int, 4> box{};
};

/// One picture with all that is written about it.
struct CaptionedPicture {
  std::string key, split;             ///< split: "train", "val" or "test"
  std::string png;
  std::vector<std::string> captions;  ///< at least one
  std::string class_name;             ///< empty: none
  std::vector<PictureQuestion> questions;
  std::vector<GroundedPhrase> phrases;
  nlohmann::ordered_json details;     ///< more for the .json member: origin, translations, boxes …
};

struct PictureSetOptions {
  std::filesystem::path out;
  PictureLayout layout = PictureLayout::shards;
  int64_t samples_per_shard = 500;
  bool force = false;  ///< replace what an earlier run left in `out`
};

constexpr std::array<const char*, 3> picture_splits = {"train", "val", "test"};

/// Writes such a folder. Pictures must be added in an order that does not depend on threads; shards come out in the order of
/// the keys, so that pictures of one series (neighbours by path) are spread over all of them.
class PictureSetWriter {
 public:
  /// Throws a usage error if the folder holds anything and `force` is not set; with `force` the files of an earlier set
  /// are removed, and anything else that is there is refused.
  PictureSetWriter(const PictureSetOptions& options, std::vector<std::string> classes);
  ~PictureSetWriter();
  void add(const CaptionedPicture& picture);
  /// Writes lists and `manifest` with "counts" added; returns it.
  nlohmann::ordered_json finish(nlohmann::ordered_json manifest);

 private:
  struct Split;
  PictureSetOptions options_;
  std::vector<std::string> classes_;
  std::vector<Split> splits_;
};

/// The manifest of a whole set in `out` if its "request" equals `request`; null otherwise.
nlohmann::ordered_json find_finished_set(const std::filesystem::path& out, const nlohmann::ordered_json& request);

}  // namespace vlm
