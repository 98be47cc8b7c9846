#pragma once
/// Pretraining of ALBEF (arXiv 2107.07651), TCL (arXiv 2202.10401) and CODIS (arXiv 2203.00048), and their fine-tuning for retrieval:
/// train/alignment_step.h on the batches of a run, with any terms of train/alignment_terms.h beside. Published recipes are in
/// configs/albef, configs/tcl and configs/codis.

#include "vlm/train/alignment_step.h"
#include "vlm/train/alignment_terms.h"
#include "vlm/train/pair_objective.h"

namespace vlm {

struct AlignmentObjectiveOptions : PairObjectiveOptions {
  double codebook_weight = 1;
  std::string second_view = "auto";
  std::string pooling = "auto";
  CodebookOptions codebook;
  Config terms;

  void fields(Fields& f) {
    PairObjectiveOptions::fields(f);
    f.field("codebook_weight", codebook_weight, "codis: weight of the codebook's losses");
    f.field("second_view", second_view,
            "what the momentum networks see: same pictures, or augmented (each picture is augmented a second time); auto: augmented for tcl");
    f.field("pooling", pooling, "tcl: parts of a picture, sqrt or fixed16; auto: sqrt in pretraining, fixed16 in retrieval");
    f.field("codebook", codebook, "codis: how a batch is shared out among the codes");
    f.field("terms", terms, "more losses on the features, as {brownian_bridge: 1, geometric_consistency: 0.25}");
  }
};

class AlignmentObjective : public PairObjective {
 public:
  AlignmentObjective(const ObjectiveContext& context, AlignmentMethod method, const std::string& name, const AlignmentObjectiveOptions& options);
  /// "ita", "itm", "mlm", "codebook" and the terms, each times its weight; means over the batch.
  std::vector<LossTerm> losses(const Batch& batch) override;
  std::vector<std::pair<std::string, double>> metrics() const override;
  /// With second views, pictures come one above the other.
  std::pair<int64_t, int64_t> image_size_of(const std::string& source) const override;
  PrepareSample preparation(const std::string& source, const TrainTransformOptions& augment, const PreprocessOptions& evaluation) const override;

 private:
  AlignmentObjectiveOptions options_;
  AlbefAligner& model_;
  AlignmentMethod method_;
  bool two_views_ = false;
  LocalPooling pooling_ = LocalPooling::sqrt;
  AlignmentTerms terms_;
};

std::unique_ptr<Objective> make_albef_objective(const ObjectiveContext& context, const Config& options);
std::unique_ptr<Objective> make_tcl_objective(const ObjectiveContext& context, const Config& options);
std::unique_ptr<Objective> make_codis_objective(const ObjectiveContext& context, const Config& options);

}  // namespace vlm
