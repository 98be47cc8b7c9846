#pragma once
/// Runs a recipe: data, model, objective, optimiser, evaluation, checkpoints (specs: clip, 14).

#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "vlm/train/objective.h"
#include "vlm/train/recipe.h"

namespace vlm {

struct TrainerOptions {
  std::string resume = "auto";  ///< auto, none, or a checkpoint
  bool progress = true;
  /// Asked after every step; true: write a checkpoint and stop (a signal, a time limit).
  std::function<bool()> should_stop = [] { return false; };
};

struct TrainResult {
  bool finished = false;                 ///< false: stopped before the end, with a checkpoint
  int64_t steps = 0;
  double last_loss = 0;                  ///< mean over the last epoch that was finished
  double seconds = 0;
  std::filesystem::path model;           ///< the model folder, if finished
  std::filesystem::path checkpoint;      ///< what a further run goes on from
};

/// Trains, writes RUN/recipe.json, RUN/log.jsonl (a line a step, a line an evaluation), RUN/checkpoints and at the end
/// RUN/model. A run that was interrupted goes on from its newest checkpoint to the same curve.
TrainResult run_training(const Recipe& recipe, const TrainerOptions& options = {});

}  // namespace vlm
