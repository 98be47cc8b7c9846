#pragma once
/// Training as a recipe says it, on one process or many: resumable to the same curve.

#include <c10/core/Device.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "vlm/train/communicator.h"
#include "vlm/train/objective.h"
#include "vlm/train/recipe.h"

namespace vlm {

struct TrainerOptions {
  std::string resume = "auto";  ///< auto, none, or a checkpoint
  bool progress = true;
  bool dry_run = false;         ///< open everything, make one step, evaluate a little, write nothing
  bool init_only = false;       ///< write what step 0 finds, RUN/init (the model), RUN/first_batch.safetensors and RUN/recipe.json, and stop
  /// Asked after every step; true: write a checkpoint and stop (a signal, a time limit). One rank's word is enough.
  std::function<bool()> should_stop = [] { return false; };
  /// Told of every step that was made, on the first rank: a program of one's own may watch.
  std::function<void(int64_t step, double loss)> on_step;
  c10::Device device = c10::kCPU;        ///< where the model is trained
  Communicator* communicator = nullptr;  ///< between the ranks of the run; null: this process is all there is
};

struct TrainResult {
  bool finished = false;                 ///< false: stopped before the end, with a checkpoint
  bool stopped_early = false;            ///< finished before its time, since evaluations did not improve any more
  int64_t steps = 0;
  double last_loss = 0;                  ///< mean over the last epoch (for a mix: the last 100 steps)
  double seconds = 0;
  int64_t skipped_steps = 0;             ///< whose loss or gradient was no number
  std::filesystem::path model;           ///< the model folder, if finished (init_only: RUN/init)
  std::filesystem::path checkpoint;      ///< what a further run goes on from
};

/// Trains, writes RUN/recipe.json, RUN/metrics.jsonl (a line a step, a line an evaluation), RUN/tensorboard, RUN/samples,
/// RUN/checkpoints and at the end RUN/model. A run that was interrupted goes on from its newest checkpoint to the same curve,
/// with the same number of ranks to the last bit, with another one within rounding.
TrainResult run_training(const Recipe& recipe, const TrainerOptions& options = {});

}  // namespace vlm
