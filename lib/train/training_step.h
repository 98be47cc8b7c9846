#pragma once
/// One optimiser step: forward, backward, gradients averaged over ranks, clipped, applied; or skipped if it made no numbers.

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "vlm/train/ema.h"
#include "vlm/train/gradient_reducer.h"
#include "vlm/train/model_setup.h"
#include "vlm/train/training_data.h"

namespace vlm {

/// What a step came to, over all ranks.
struct StepResult {
  double loss = 0;                                      ///< sum of the terms
  std::vector<std::pair<std::string, double>> terms;    ///< with their weights; several objectives' are called OBJECTIVE/TERM
  double lr = 0, gradient_norm = 0;
  int64_t samples = 0;                                  ///< on all ranks
  bool skipped = false;                                 ///< loss or gradient was no number: nothing was changed
  bool empty = false;                                   ///< a rank had no sample that could be used: nothing was changed
  std::string keys;                                     ///< if skipped: samples of this rank, if its own loss was no number or nobody's was
};

class TrainingStep {
 public:
  /// All outlive it. Throws a usage error for a precision that there is not on this device.
  TrainingStep(const Recipe& recipe, const ModelSetup& setup, const std::vector<RunObjective>& objectives, Communicator& communicator);
  ~TrainingStep();

  /// Makes step `step` (from 0) of `total_steps` with the batches of this rank.
  StepResult run(const std::vector<StepBatch>& batches, const TrainingData& data, int64_t step, int64_t total_steps);

  Optimizer& optimizer() { return *optimizer_; }
  Ema* ema() { return ema_.get(); }
  /// Scale of the loss and the like, for checkpoints.
  nlohmann::ordered_json state() const;
  void load_state(const nlohmann::json& state);

 private:
  struct Terms;
  Terms forward(const std::vector<StepBatch>& batches, const std::vector<size_t>& part, const TrainingData& data);

  const Recipe& recipe_;
  const ModelSetup& setup_;
  const std::vector<RunObjective>& objectives_;
  Communicator& communicator_;
  std::unique_ptr<Optimizer> optimizer_;
  GradientReducer reducer_;
  std::unique_ptr<Ema> ema_;
  double loss_scale_ = 1;     ///< fp16
  int64_t good_steps_ = 0;    ///< since the scale changed
};

}  // namespace vlm
