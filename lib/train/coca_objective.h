#pragma once
/// CoCa (arXiv 2205.01917, eq. 4): contrastive and captioning, from one pass.

#include "vlm/models/trainable.h"
#include "vlm/train/two_tower_objective.h"

namespace vlm {

struct CocaObjectiveOptions : TermOptions {
  double contrastive_weight = 1;
  double caption_weight = 2;
  bool merge_equal_texts = false;  ///< pictures of a batch with the same text are positives of each other
  int64_t block_rows = 1024;       ///< rows of contrastive scores that exist at a time

  void fields(Fields& f) {
    f.field("contrastive_weight", contrastive_weight, "of the contrastive loss; 0: captions alone");
    f.field("caption_weight", caption_weight, "of the captions' loss");
    f.field("merge_equal_texts", merge_equal_texts, "pictures of a batch with the same text are positives of each other");
    f.field("block_rows", block_rows, "rows of contrastive scores that exist at a time");
    TermOptions::fields(f);
  }
};

class CocaObjective : public TwoTowerObjective {
 public:
  CocaObjective(const ObjectiveContext& context, const CocaObjectiveOptions& options);
  /// "contrastive", the mean over pairs, "caption", the mean over this rank's ids, and the terms, on the features that are contrasted.
  std::vector<LossTerm> losses(const Batch& batch) override;

 private:
  PairCaptionTrainable& writer_;
  CocaObjectiveOptions options_;
};

std::unique_ptr<Objective> make_coca_objective(const ObjectiveContext& context, const Config& options);

}  // namespace vlm
