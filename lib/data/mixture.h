#pragma once
/// Several data sets at once (specs: data, 8.5): each step is served by one of them, drawn on all ranks alike, or each batch
/// has fixed shares. Every data set has an epoch counter and a cursor of its own.

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "vlm/data/loader.h"

namespace vlm {

struct MixPart {
  std::string name;
  double weight = 1;
};

/// "caption=2,vqa=1". Throws a usage error for a repeated name, a weight that is no number of 0 or more, or weights that are
/// all 0.
std::vector<MixPart> parse_mix(const std::string& text);

/// Which data set serves each step: follows from seed and weights alone, so every rank draws the same.
class MixOrder {
 public:
  MixOrder(const std::vector<MixPart>& parts, uint64_t seed);
  /// The number of the data set that serves the next step.
  size_t next();
  int64_t draws() const { return draws_; }
  void skip(int64_t draws);

 private:
  std::vector<double> cumulated_;
  SplitMix64 random_;
  int64_t draws_ = 0;
};

/// Where a run over several data sets stands.
struct MixCursor {
  int64_t draws = 0;                       ///< steps that were used
  std::map<std::string, Cursor> parts;     ///< by name
  nlohmann::ordered_json to_json() const;  ///< {"version": 1, "draws": n, "parts": {name: cursor}}
  static MixCursor from_json(const nlohmann::json& json);
};

/// Loaders side by side. A part that is at its end begins its next epoch.
class MixLoader {
 public:
  /// One loader for each part, with batch sizes of its own (the shares, where each batch has all parts).
  MixLoader(std::vector<MixPart> parts, std::vector<std::unique_ptr<Loader>> loaders, uint64_t seed);

  /// The batch of the next step; returns the number of the part that serves it.
  size_t next(Batch& batch);
  /// One batch of every part with a weight above 0 (the others' stay empty): fixed shares of each step.
  void next_of_each(std::vector<Batch>& batches);
  /// The step that was handed out last, and all before it, have been used.
  void mark_used();

  MixCursor cursor() const;
  /// Throws if the cursor's parts are not these.
  void resume(const MixCursor& cursor);

  size_t size() const { return parts_.size(); }
  const MixPart& part(size_t i) const { return parts_[i]; }
  const Loader& loader(size_t i) const { return *loaders_[i]; }

 private:
  void take(size_t part, Batch& batch);

  std::vector<MixPart> parts_;
  std::vector<std::unique_ptr<Loader>> loaders_;
  uint64_t seed_;
  MixOrder order_;
  int64_t used_ = 0, steps_ = 0;
  std::vector<Batch> handed_out_;  ///< of each part, the last ticket; no tensors
};

}  // namespace vlm
