#pragma once
/// Contrastive pretraining of a dual encoder (CLIP, arXiv 2103.00020): every pair of the batch against all others, over all
/// processes.

#include "vlm/train/alignment_terms.h"
#include "vlm/train/objective.h"
#include "vlm/train/second_view.h"

namespace vlm {

struct ClipObjectiveOptions {
  bool merge_equal_texts = false;  ///< pictures of a batch with the same text are positives of each other
  double label_smoothing = 0;      ///< share of the target that is spread over all pairs
  int64_t block_rows = 1024;       ///< rows of scores that exist at a time
  int64_t grad_cache = 0;          ///< rows that a tower takes at a time; 0: all (GradCache, arXiv 2101.06983)
  int64_t image_chunk = 0;         ///< the same for the image tower alone; 0: grad_cache
  int64_t text_chunk = 0;          ///< for the text tower; 0: grad_cache
  double contrastive_weight = 1;   ///< of the loss itself, beside the terms
  Config terms;                    ///< NAME: weight of more losses (train/alignment_terms.h)
  SecondViewOptions second_view;   ///< of what terms call augmented

  void fields(Fields& f) {
    f.field("merge_equal_texts", merge_equal_texts, "pictures of a batch with the same text are positives of each other");
    f.field("label_smoothing", label_smoothing, "share of the target that is spread over all pairs");
    f.field("block_rows", block_rows, "rows of scores that exist at a time");
    f.field("grad_cache", grad_cache,
            "rows that a tower takes at a time, for batches larger than memory; each is computed twice. 0: all at once");
    f.field("image_chunk", image_chunk, "the same for the image tower alone; 0: grad_cache");
    f.field("text_chunk", text_chunk, "the same for the text tower alone; 0: grad_cache");
    f.field("contrastive_weight", contrastive_weight, "what the contrastive loss is multiplied by; 0: only the terms count");
    f.field("terms", terms, "more losses on the features, as {geometric_consistency: 0.25, hard_negative: {weight: 0.5, beta: 0.5}}");
    f.field("second_view", second_view, "augmentation of pictures and texts for terms that ask for it; costs a second pass of the towers");
  }
};

/// Unit vectors of a batch, the towers taking `image_chunk` and `text_chunk` rows at a time (0: all).
std::pair<Tensor, Tensor> embed_batch(DualEncoder& encoder, const Batch& batch, int64_t image_chunk, int64_t text_chunk);

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
  AlignmentTerms terms_;
};

std::unique_ptr<Objective> make_clip_objective(const ObjectiveContext& context, const Config& options);

}  // namespace vlm
