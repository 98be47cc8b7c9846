#pragma once
/// CoCa (arXiv 2205.01917, eq. 4): contrastive and captioning, from one pass.

#include "vlm/models/trainable.h"
#include "vlm/train/objective.h"

namespace vlm {

struct CocaObjectiveOptions {
  double contrastive_weight = 1;
  double caption_weight = 2;
  bool merge_equal_texts = false;  ///< pictures of a batch with the same text are positives of each other
  int64_t block_rows = 1024;       ///< rows of contrastive scores that exist at a time

  void fields(Fields& f) {
    f.field("contrastive_weight", contrastive_weight, "of the contrastive loss; 0: captions alone");
    f.field("caption_weight", caption_weight, "of the captions' loss");
    f.field("merge_equal_texts", merge_equal_texts, "pictures of a batch with the same text are positives of each other");
    f.field("block_rows", block_rows, "rows of contrastive scores that exist at a time");
  }
};

class CocaObjective : public Objective {
 public:
  CocaObjective(const ObjectiveContext& context, const CocaObjectiveOptions& options);
  /// "contrastive", the mean over pairs, and "caption", the mean over this rank's ids.
  std::vector<LossTerm> losses(const Batch& batch) override;
  std::vector<std::pair<std::string, double>> metrics() const override;
  int64_t text_length() const override { return encoder_.context_length(); }
  void tokenize(const std::string& text, int64_t* ids) const override;
  std::pair<int64_t, int64_t> image_size() const override { return encoder_.image_size(); }
  std::string evaluation() const override { return "retrieval"; }

 private:
  DualEncoder& encoder_;
  PairCaptionTrainable& writer_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  Communicator& communicator_;
  CocaObjectiveOptions options_;
};

std::unique_ptr<Objective> make_coca_objective(const ObjectiveContext& context, const Config& options);

}  // namespace vlm
