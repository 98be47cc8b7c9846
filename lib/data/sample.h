#pragma once
/// What every source gives, whatever its format (specs: data, section 1). Fields that a format lacks are empty.

#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "vlm/core/error.h"

namespace vlm {

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
  std::vector<double> weights;               ///< one for each answer
  std::optional<int64_t> label;              ///< of a class, or of an entailment
  std::optional<std::array<float, 4>> box;   ///< x0, y0, x1, y1 in pixels of the stored picture
  std::optional<int64_t> image_index;        ///< number of the distinct picture
  std::string shard;                         ///< base name of the file that it comes from
  std::vector<std::string> fields;           ///< extensions of the members that were there, sorted
  nlohmann::json meta;                       ///< object with anything else, or null

  /// What messages call it.
  std::string place() const { return shard.empty() ? key : shard + ": " + key; }
};

/// A sample that cannot be used, and why: it is skipped and counted, see skips.h.
class SampleError : public Error {
 public:
  /// `reason`: one of the words of specs: data, 1.1 ("bad_image"). `place`: file and position. `detail`: what was wrong.
  SampleError(std::string reason, std::string place, const std::string& detail = "")
      : Error(place + ": " + reason + (detail.empty() ? "" : " (" + detail + ")")),
        reason_(std::move(reason)),
        place_(std::move(place)) {}
  const std::string& reason() const { return reason_; }
  const std::string& place() const { return place_; }

 private:
  std::string reason_, place_;
};

}  // namespace vlm
