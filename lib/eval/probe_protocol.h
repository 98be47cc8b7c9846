#pragma once
/// How well a linear classifier on a model's vectors does, with what can be had without a model beside it.

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "vlm/eval/linear_probe.h"
#include "vlm/eval/zero_shot.h"
#include "vlm/data/source.h"
#include "vlm/infer/pipeline.h"

namespace vlm {

struct ProbeOptions {
  LinearProbeOptions fit = {};
  std::vector<int64_t> ks = {1, 5};
  bool pixels = false;    ///< also say the class of the training picture whose 16 x 16 pixels are nearest
  bool progress = true, strict = false;
  std::function<void(const nlohmann::ordered_json&)> each = {};  ///< told of every picture's class
};

struct ProbeReport {
  ZeroShotAccuracy accuracy;
  double majority = 0;                      ///< share that the commonest class of training gets right
  std::optional<ZeroShotAccuracy> pixels;   ///< top-1 and mean per class of the nearest picture
  double l2 = 0, held_out_top1 = 0;         ///< what was chosen, and its share on what it was chosen by
  int64_t train_items = 0, items = 0, unlabelled = 0, skipped = 0;
  std::vector<std::string> classes;

  nlohmann::ordered_json to_json() const;
};

/// Fits to the labelled pictures of `train`, chooses the strength of l2 on those of `held_out` (null: on every fifth of `train`,
/// after which all of them are fitted), and counts on those of `test`. Classes are told apart by name (the metadata's "class",
/// else the source's name for the number), so data sets with classes of their own go together. Throws if a data set
/// holds no labelled picture.
ProbeReport evaluate_probe(const DualEncoderPipeline& pipeline, const Source& train, const Source* held_out, const Source& test,
                           const ProbeOptions& options = {});

}  // namespace vlm
