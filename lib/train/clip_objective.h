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
  ClipObjective(const ObjectiveContext& context, const ClipObjectiveOptions& options);
  std::vector<LossTerm> losses(const Batch& batch) override;
  std::vector<std::pair<std::string, double>> metrics() const override;
  int64_t text_length() const override { return encoder_.context_length(); }
  void tokenize(const std::string& text, int64_t* ids) const override;
  std::pair<int64_t, int64_t> image_size() const override { return encoder_.image_size(); }
  std::string evaluation() const override { return "retrieval"; }

 private:
  DualEncoder& encoder_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  Communicator& communicator_;
  ClipObjectiveOptions options_;
};

std::unique_ptr<Objective> make_clip_objective(const ObjectiveContext& context, const Config& options);

}  // namespace vlm
