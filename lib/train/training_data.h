#pragma once
/// The batches of a run, step by step: from one data set, epoch after epoch, or from several that are mixed.

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "vlm/data/loader.h"
#include "vlm/data/mixture.h"
#include "vlm/train/device.h"
#include "vlm/train/model_setup.h"
#include "vlm/train/objective.h"
#include "vlm/train/recipe.h"

namespace vlm {

/// An objective of a run, and which data sets it learns from.
struct RunObjective {
  std::string name;
  double weight = 1;
  std::vector<std::string> data;  ///< names of data sets; empty: all
  std::unique_ptr<Objective> objective;

  bool takes(const std::string& source) const;
};

/// The objectives that the recipe names.
std::vector<RunObjective> make_run_objectives(const Recipe& recipe, const ModelSetup& setup, Communicator& communicator);
/// The preprocessing of the run, for pictures of the size that the objectives take.
PreprocessOptions preprocess_of_run(const ModelSetup& setup, const std::vector<RunObjective>& objectives);

/// What one data set gives to a step.
struct StepBatch {
  Batch batch;
  size_t source = 0;  ///< number of the data set
};

class TrainingData {
 public:
  /// `objectives` and `preprocess` outlive it. Throws usage errors that name the key of the recipe that does not fit.
  TrainingData(const Recipe& recipe, const std::vector<RunObjective>& objectives, const PreprocessOptions& preprocess, int64_t rank,
               int64_t world_size, const c10::Device& device = c10::kCPU);

  /// Optimiser steps of the whole run.
  int64_t total_steps() const { return total_steps_; }
  /// Steps of an epoch of a single data set; 0 for a mix.
  int64_t steps_per_epoch() const { return steps_per_epoch_; }
  /// The batches that the next step adds up, on this rank. Every rank gets the same number of them. Begins epochs as needed.
  std::vector<StepBatch> next();
  /// The batches that next() gave last have been used.
  void mark_used();
  /// At the end of the run: reports what the last epoch has skipped, and fails if that was too much.
  void finish();
  /// True if the step that was used last was the last one of an epoch.
  bool epoch_ended() const { return epoch_ended_; }
  /// The epoch that the last step belonged to, or the next one belongs to; a mix counts none.
  int64_t epoch() const { return epoch_; }
  double wait_seconds() const;

  size_t source_count() const { return names_.size(); }
  const std::string& source_name(size_t n) const { return names_[n]; }
  const std::vector<std::shared_ptr<const Source>>& sources() const { return sources_; }
  /// Samples of all data sets.
  int64_t samples() const;
  /// Samples of one batch on this rank, of all its data sets.
  int64_t batch_size() const { return batch_size_; }

  /// cursor.json. `step`: optimiser steps so far.
  nlohmann::ordered_json cursor(int64_t step) const;
  void resume(const nlohmann::json& cursor);

 private:
  void start_epoch(int64_t epoch);
  void to_device(Batch& batch) const;
  std::unique_ptr<Loader> make_loader(const SourceRecipe& source, const std::string& name, const std::vector<RunObjective>& objectives,
                                      const PreprocessOptions& preprocess);

  DataRecipe recipe_;
  int64_t accumulate_, rank_, world_size_;
  std::vector<std::string> names_;
  std::vector<std::shared_ptr<const Source>> sources_;
  std::unique_ptr<Loader> loader_;  ///< of a single data set
  std::unique_ptr<MixLoader> mix_;
  std::unique_ptr<DeviceTransfer> transfer_;  ///< what the loader gives, on the device
  c10::Device device_;
  std::optional<Batch> last_;       ///< its ticket counts
  int64_t left_ = 0;                ///< batches of this epoch that next() has not given yet
  int64_t total_steps_ = 0, steps_per_epoch_ = 0, epoch_ = 0, batch_size_ = 0;
  bool epoch_ended_ = false;
};

}  // namespace vlm
