#pragma once
/// What a recipe will cost, before it is run: parameters, memory, steps, time, disk.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "vlm/train/recipe.h"

namespace vlm {

struct PlanOptions {
  int64_t world_size = 1;      ///< processes that share the data; each has a batch of its own
  bool measure = true;         ///< run a few steps on drawn pictures with the texts of the data set
  int64_t steps = 3;           ///< how many are timed
  double budget_seconds = 20;  ///< beyond this a smaller batch is timed, and scaled
};

struct TrainingPlan {
  std::string family;
  int64_t parameters = 0, trainable = 0;
  std::vector<std::pair<std::string, int64_t>> parts;  ///< parameters of the top-level parts ("visual"), largest first

  int64_t weight_bytes = 0, gradient_bytes = 0, optimizer_bytes = 0, ema_bytes = 0;  ///< of each process
  int64_t activation_bytes = -1;  ///< of a forward and backward pass over `batch`; -1: not measured
  int64_t measured_batch = 0;     ///< what time and activations were measured with; where it is less than `batch`, they are scaled

  int64_t samples = 0, batch = 0, global_batch = 0, steps_per_epoch = 0, epochs = 0, total_steps = 0;
  double step_seconds = -1;       ///< computation alone: no waiting for data, no communication; -1: not measured
  int64_t checkpoint_bytes = 0;   ///< weights, optimiser state and average
  int64_t disk_free = -1;         ///< where the run is going to be written; -1: not known

  /// -1: not known.
  int64_t memory_bytes() const;
  double total_seconds() const { return step_seconds < 0 ? -1 : step_seconds * static_cast<double>(total_steps); }
  nlohmann::ordered_json to_json() const;
};

/// Makes the model, opens the data set, and writes nothing. Throws what training would throw for a recipe that cannot be run.
TrainingPlan plan_training(const Recipe& recipe, const PlanOptions& options = {});

}  // namespace vlm
