#pragma once
/// Pretraining of a dual encoder with the pairwise sigmoid loss (SigLIP, arXiv 2303.15343): every pair of the batch is a
/// question of its own, so no normalisation over the batch is needed.

#include "vlm/train/two_tower_objective.h"

namespace vlm {

struct SiglipObjectiveOptions : TwoTowerOptions {
  std::string exchange = "ring";  ///< how texts get to other processes: ring or gather
  int64_t chunk_rows = 1024;      ///< rows of scores that exist at a time

  void fields(Fields& f) {
    f.field("exchange", exchange, "how texts get to other processes: ring or gather");
    f.field("chunk_rows", chunk_rows, "rows of scores that exist at a time");
    TwoTowerOptions::fields(f);
  }
};

class SiglipObjective : public TwoTowerObjective {
 public:
  SiglipObjective(const ObjectiveContext& context, const SiglipObjectiveOptions& options);
  std::vector<LossTerm> losses(const Batch& batch) override;
  std::vector<std::pair<std::string, double>> metrics() const override;

 private:
  SiglipObjectiveOptions options_;
};

std::unique_ptr<Objective> make_siglip_objective(const ObjectiveContext& context, const Config& options);

}  // namespace vlm
