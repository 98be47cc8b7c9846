#pragma once
/// Teaching a model to describe pictures: cross entropy of every next id of the caption (BLIP, arXiv 2201.12086, section 3.2;
/// specs: clip, 5.3). Fine-tuning on COCO is configs/blip/caption_coco.yaml.

#include "vlm/models/trainable.h"
#include "vlm/train/objective.h"

namespace vlm {

struct CaptionObjectiveOptions {
  std::string prompt = "";        ///< put in front of every caption, and not scored
  int64_t max_length = 40;        ///< ids of a text, begin and end included; longer ones are cut
  double label_smoothing = 0.1;   ///< share of the target that is spread over the vocabulary

  void fields(Fields& f) {
    f.field("prompt", prompt, "put in front of every caption, and not scored (BLIP: 'a picture of ')");
    f.field("max_length", max_length, "ids of a text, prompt, begin and end included; longer ones are cut");
    f.field("label_smoothing", label_smoothing, "share of the target that is spread over the vocabulary");
  }
};

class CaptionObjective : public Objective {
 public:
  CaptionObjective(const ObjectiveContext& context, const CaptionObjectiveOptions& options);
  /// Takes Batch::texts, which are filled up to the longest of the batch. "caption": the mean over the ids that are scored.
  std::vector<LossTerm> losses(const Batch& batch) override;
  std::pair<int64_t, int64_t> image_size() const override { return size_; }
  std::string evaluation() const override { return "caption"; }

 private:
  CaptionTrainable& writer_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  CaptionObjectiveOptions options_;
  std::pair<int64_t, int64_t> size_;
  int64_t prompt_length_ = 0;  ///< ids of the prompt, begin included
};

std::unique_ptr<Objective> make_caption_objective(const ObjectiveContext& context, const Config& options);

}  // namespace vlm
