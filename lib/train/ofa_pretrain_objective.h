#pragma once
/// OFA's multitask pretraining (arXiv 2202.03052, section 3.2; specs: ofa, 5.1 and 6.1). Its data sets stand side by side in
/// data.mix with mix_within_step, and two batches come out of each step: pictures with texts, of which some patches are looked at,
/// and all else (texts with holes, pictures with holes, detection), whose losses are means of their own and are added.
///
///   data:
///     mix_within_step: true
///     mix: {image_text: {path: …, batch_size: 8}, text: {path: …, batch_size: 2}, image: {path: …, batch_size: 1}, detection: {…}}
///
/// Eight rows of pictures and texts are sixteen examples: the released models' composition 16 : 2 : 1 : 1. Any of the data sets
/// may be missing.

#include "vlm/data/ofa_pictures.h"
#include "vlm/train/ofa_objective.h"
#include "vlm/train/ofa_pretrain_examples.h"

namespace vlm {

struct OfaPretrainOptions : OfaPretrainTexts, OfaPictureOptions, OfaCriterionOptions {
  int64_t sample_patches = 0;
  bool augment = true;
  std::vector<std::string> pairs = {"image_text"}, texts = {"text"}, pictures = {"image"}, detections = {"detection"};

  OfaPretrainOptions() { patch_image_size = 0; }
  void fields(Fields& f) {
    OfaPretrainTexts::fields(f);
    OfaPictureOptions::fields(f);
    OfaCriterionOptions::fields(f);
    f.field("sample_patches", sample_patches, "pictures with texts: so many patches of each are looked at, drawn at random; 0: all");
    f.field("augment", augment, "pictures with texts are resized and cropped at random, regions cut out around their box; false: as data.augment says");
    f.field("image_text", pairs, "names of the data sets of pictures with captions, questions or regions");
    f.field("text", texts, "names of the data sets of texts");
    f.field("image", pictures, "names of the data sets of pictures with codes");
    f.field("detection", detections, "names of the data sets of pictures with objects");
  }
};

class OfaPretrainObjective : public Objective {
 public:
  OfaPretrainObjective(const ObjectiveContext& context, const OfaPretrainOptions& options);
  void begin_step(int64_t step, int64_t) override { step_ = step; }
  bool joint() const override { return true; }
  /// "pairs" and "infilling", each the mean over its own examples' ids; both count alike on every rank.
  std::vector<LossTerm> joint_losses(const std::vector<SourceBatch>& batches) override;
  void check(const Sample&, const std::string&) const override {}  // by the kind of the data set, in preparation()
  std::pair<int64_t, int64_t> image_size() const override { return {options_.patch_image_size, options_.patch_image_size}; }
  std::pair<int64_t, int64_t> image_size_of(const std::string& source) const override;
  PrepareSample preparation(const std::string& source, const TrainTransformOptions& augment, const PreprocessOptions& evaluation) const override;

 private:
  enum class Kind { pair, text, picture, detection };
  Kind kind_of(const std::string& source) const;
  PrepareSample prepare_pair(const TrainTransformOptions& augment, const PreprocessOptions& evaluation) const;

  OfaPretrainOptions options_;
  OfaVocabulary vocabulary_;
  OfaPretrainExamples examples_;
  OfaTeacher teacher_;
  c10::Device device_;
  int64_t step_ = 0;
};

std::unique_ptr<Objective> make_ofa_pretrain_objective(const ObjectiveContext& context, const Config& options);

}  // namespace vlm
