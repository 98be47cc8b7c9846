#pragma once
/// Self-critical training of captions (Rennie et al., arXiv 1612.00563; specs: ofa, 6.4): the model describes each picture with beam
/// search, and each caption becomes more likely the better its CIDEr-D is than that of the others. The second stage of caption
/// fine-tuning, configs/ofa/caption_stage2_*.yaml.

#include <optional>

#include "vlm/eval/caption_reward.h"
#include "vlm/train/ofa_objective.h"

namespace vlm {

struct OfaScstOptions {
  int64_t beam = 5;
  int64_t max_len_b = 16;
  int64_t no_repeat_ngram = 3;
  std::string document_frequency;
  std::vector<int64_t> constraint_range;
  bool sentence_avg = false;
  int64_t patch_image_size = 0;
  int64_t sample_patches = 0;

  void fields(Fields& f) {
    f.field("beam", beam, "captions that are written of each picture");
    f.field("max_len_b", max_len_b, "their longest length, in ids");
    f.field("no_repeat_ngram", no_repeat_ngram, "no so many ids come twice in a caption");
    f.field("document_frequency", document_frequency,
            "file of n-gram frequencies for CIDEr-D (vlm data ngrams --for ofa_scst makes it), or corpus: those of the batch, for tests");
    f.field("constraint_range", constraint_range, "first and end of the ids that can be written, beside 0 to 3; empty: all can");
    f.field("sentence_avg", sentence_avg, "the loss is divided by the number of captions, not of ids");
    f.field("patch_image_size", patch_image_size, "side of the pictures, in pixels; 0: what the model was made or trained for");
    f.field("sample_patches", sample_patches, "so many patches of each picture are looked at in the training pass; 0: all");
  }
};

class OfaScstObjective : public Objective {
 public:
  OfaScstObjective(const ObjectiveContext& context, const OfaScstOptions& options);
  /// One term, "scst": the mean over the ids that were written.
  std::vector<LossTerm> losses(const Batch& batch) override;
  /// "reward": the captions' mean CIDEr-D.
  std::vector<std::pair<std::string, double>> metrics() const override { return {{"reward", reward_}}; }
  std::pair<int64_t, int64_t> image_size() const override { return size_; }
  std::string evaluation() const override { return "caption"; }

 private:
  /// For each picture the ids of `beam` captions, with their ends.
  std::vector<std::vector<std::vector<int64_t>>> describe(const Tensor& pictures);

  OfaScstOptions options_;
  Model& model_;
  Instructed& writer_;
  OfaVocabulary vocabulary_;
  std::optional<DocumentFrequency> frequency_;
  std::pair<int64_t, int64_t> size_;
  std::vector<int64_t> instruction_;
  double reward_ = 0;
};

std::unique_ptr<Objective> make_ofa_scst_objective(const ObjectiveContext& context, const Config& options);

}  // namespace vlm
