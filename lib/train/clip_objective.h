#pragma once
/// Contrastive pretraining of a dual encoder (CLIP, arXiv 2103.00020).

#include "vlm/train/objective.h"

namespace vlm {

struct ClipObjectiveOptions {
  bool merge_equal_texts = false;  ///< pictures of a batch with the same text are positives of each other

  void fields(Fields& f) {
    f.field("merge_equal_texts", merge_equal_texts, "pictures of a batch with the same text are positives of each other");
  }
};

class ClipObjective : public Objective {
 public:
  ClipObjective(DualEncoder& encoder, const ClipObjectiveOptions& options) : encoder_(encoder), options_(options) {}
  std::vector<LossTerm> losses(const Batch& batch) override;
  std::vector<std::pair<std::string, double>> metrics() const override;

 private:
  DualEncoder& encoder_;
  ClipObjectiveOptions options_;
};

std::unique_ptr<Objective> make_clip_objective(Model& model, const Config& options);

}  // namespace vlm
