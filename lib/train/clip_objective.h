#pragma once
/// Contrastive pretraining of a dual encoder (CLIP, arXiv 2103.00020): every pair of the batch against all others, over all
/// processes.

#include "vlm/train/two_tower_objective.h"

namespace vlm {

struct ClipObjectiveOptions : TwoTowerOptions {
  bool merge_equal_texts = false;  ///< pictures of a batch with the same text are positives of each other
  double label_smoothing = 0;      ///< share of the target that is spread over all pairs
  int64_t block_rows = 1024;       ///< rows of scores that exist at a time
  double contrastive_weight = 1;   ///< of the loss itself, beside the terms

  void fields(Fields& f) {
    f.field("merge_equal_texts", merge_equal_texts, "pictures of a batch with the same text are positives of each other");
    f.field("label_smoothing", label_smoothing, "share of the target that is spread over all pairs");
    f.field("block_rows", block_rows, "rows of scores that exist at a time");
    f.field("contrastive_weight", contrastive_weight, "what the contrastive loss is multiplied by; 0: only the terms count");
    TwoTowerOptions::fields(f);
  }
};

class ClipObjective : public TwoTowerObjective {
 public:
  ClipObjective(const ObjectiveContext& context, const ClipObjectiveOptions& options);
  std::vector<LossTerm> losses(const Batch& batch) override;

 private:
  ClipObjectiveOptions options_;
};

std::unique_ptr<Objective> make_clip_objective(const ObjectiveContext& context, const Config& options);

}  // namespace vlm
