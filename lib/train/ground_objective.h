#pragma once
/// Teaching mPLUG to write where something is (arXiv 2205.12005; specs: mplug, 3.4): the boxes of RefCOCO and its kin.

#include "vlm/data/grounding_augment.h"
#include "vlm/train/objective.h"

namespace vlm {

class MplugGrounder;

struct MplugGroundOptions {
  bool own_weights = false;
  GroundingAugmentOptions augment;

  void fields(Fields& f) {
    f.field("own_weights", own_weights, "each box weighs its own words by how far off it is; false: all boxes of the batch do, as the reference's shapes make it");
    f.field("augment", augment, "what is done to pictures, in place of data.augment");
  }
};

class MplugGroundObjective : public Objective {
 public:
  MplugGroundObjective(const ObjectiveContext& context, const MplugGroundOptions& options);
  /// One term, "box". Takes Batch::texts and Sample::box, in pixels of the square.
  std::vector<LossTerm> losses(const Batch& batch) override;
  /// "iou": how much the likeliest boxes of the last batch overlap the right ones.
  std::vector<std::pair<std::string, double>> metrics() const override { return {{"iou", iou_}}; }
  void check(const Sample& sample, const std::string& text) const override;
  std::pair<int64_t, int64_t> image_size() const override { return size_; }
  PrepareSample preparation(const std::string& source, const TrainTransformOptions& augment, const PreprocessOptions& evaluation) const override;
  std::string evaluation() const override { return "ground"; }

 private:
  MplugGrounder& model_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  MplugGroundOptions options_;
  std::pair<int64_t, int64_t> size_;
  double iou_ = 0;
};

std::unique_ptr<Objective> make_mplug_ground_objective(const ObjectiveContext& context, const Config& options);

}  // namespace vlm
