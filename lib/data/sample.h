#pragma once
/// What every source gives, whatever its format (specs: data, section 1). Fields that a format lacks are empty.

#include <array>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "vlm/core/error.h"

namespace vlm {

struct Image;

/// A picture as it is stored; it is decoded where it is needed.
struct EncodedImage {
  std::string name;   ///< path as the data set writes it, or the extension of a shard's member
  std::string bytes;  ///< JPEG, PNG, WebP …, told apart by content
};

struct Sample {
  std::string key;                    ///< stable name inside its data set
  int64_t number = -1;                ///< place in the data set, counted over all its shards from 0
  std::vector<EncodedImage> images;   ///< one as a rule; none for text alone, two for NLVR2
  std::vector<std::string> captions;  ///< UTF-8 without white space at the ends; the first is the one of evaluation
  std::string question;
  std::vector<std::string> answers;
  std::vector<double> weights;               ///< of the answers in training: one for each, or none
  std::vector<int64_t> counts;               ///< how many people gave each answer, where that is known
  std::optional<int64_t> label;              ///< of a class, or of an entailment
  std::optional<std::array<double, 4>> box;  ///< x0, y0, x1, y1 in pixels of the stored picture
  std::optional<int64_t> image_index;        ///< number of the distinct picture
  std::string shard;                         ///< base name of the file that it comes from
  std::vector<std::string> fields;           ///< extensions of the members that were there, sorted
  nlohmann::json meta;                       ///< object with anything else (ids, split, premise …), or null
  std::vector<std::shared_ptr<const Image>> further;  ///< decoded pictures behind the first, while a batch that asks for them is made

  /// What messages call it: "list.json: 00000012 (val/12.jpg)".
  std::string place() const {
    const bool named = !images.empty() && images[0].name != key && images[0].name.find('.') != std::string::npos;
    return (shard.empty() ? key : shard + ": " + key) + (named ? " (" + images[0].name + ")" : "");
  }
};

/// A sample that cannot be used, and why: it is skipped and counted, see skips.h.
class SampleError : public Error {
 public:
  /// `reason`: one of the words of specs: data, 1.1 ("bad_image"). `place`: file and position. `detail`: what was wrong.
  SampleError(std::string reason, std::string place, const std::string& detail = "")
      : Error(place + ": " + reason + (detail.empty() ? "" : " (" + detail + ")")),
        reason_(std::move(reason)),
        place_(std::move(place)),
        detail_(detail) {}
  const std::string& reason() const { return reason_; }
  const std::string& place() const { return place_; }
  /// May be empty.
  const std::string& detail() const { return detail_; }

 private:
  std::string reason_, place_, detail_;
};

}  // namespace vlm
