#pragma once
/// Pretraining of mPLUG (arXiv 2205.12005), and its fine-tuning for retrieval: train/mplug_losses.h on the batches of a run. Published
/// recipes are in configs/mplug.

#include "vlm/train/mplug_losses.h"
#include "vlm/train/pair_objective.h"

namespace vlm {

struct MplugObjectiveOptions : PairObjectiveOptions {
  double prefix_weight = 1;
  int64_t max_prefix_length = 20;

  void fields(Fields& f) {
    PairObjectiveOptions::fields(f);
    f.field("prefix_weight", prefix_weight, "pretraining: weight of writing the rest of a caption, of which the beginning is read; 0: nothing is written");
    f.field("max_prefix_length", max_prefix_length, "ids of the beginning, and of the rest");
  }
};

/// A caption in two: the first `cut` words, which may be none, and the others. cut: drawn from 0 … words - 1.
std::pair<std::string, std::string> split_for_prefix(const std::string& caption, SplitMix64& random);

class MplugObjective : public PairObjective {
 public:
  MplugObjective(const ObjectiveContext& context, const MplugObjectiveOptions& options);
  /// "ita", "itm", and in pretraining "mlm" and "prefix", each times its weight; means over the batch.
  std::vector<LossTerm> losses(const Batch& batch) override;
  std::vector<std::pair<std::string, double>> metrics() const override;

 private:
  MplugObjectiveOptions options_;
  MplugModel& model_;
  MplugPretrainer* pretrainer_;  ///< the same; null in retrieval
};

std::unique_ptr<Objective> make_mplug_objective(const ObjectiveContext& context, const Config& options);

}  // namespace vlm
