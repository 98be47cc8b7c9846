#pragma once
/// Self-critical training of captioners that follow no instructions (Rennie et al., arXiv 1612.00563; specs: mplug, 3.1): the hypotheses of a
/// beam search become more likely the better their CIDEr-D is than the mean of their picture's. What OFA does is `ofa_scst`.

#include <optional>

#include "vlm/eval/cider.h"
#include "vlm/models/trainable.h"
#include "vlm/train/objective.h"

namespace vlm {

struct CaptionScstOptions {
  int64_t beams = 0;
  int64_t min_new_tokens = -1, max_new_tokens = 0;
  double length_penalty = 0.6;
  std::string document_frequency;
  std::string prompt;

  void fields(Fields& f) {
    f.field("beams", beams, "captions that are written of each picture; 0: as many as the model searches with");
    f.field("min_new_tokens", min_new_tokens, "their shortest length, in ids; -1: the model's");
    f.field("max_new_tokens", max_new_tokens, "their longest length, in ids; 0: the model's");
    f.field("length_penalty", length_penalty, "sums are divided by ((5 + ids) / 6) to the power of this");
    f.field("document_frequency", document_frequency,
            "file of n-gram frequencies of the training captions for CIDEr-D (vlm data ngrams makes it), or corpus: those of the batch, for tests");
    f.field("prompt", prompt, "put in front of every caption, and not scored (BLIP: 'a picture of ')");
  }
};

/// Scores of given texts under a captioner: sum of log-probabilities of the ids behind the prompt / ((5 + their number) / 6)^length_penalty,
/// with gradients. Reads what infer/mplug_search.h wrote: ids behind an end count, too. texts[n]: begin, text, end, about picture row[n].
Tensor caption_scores(CaptionTrainable& model, const Tensor& pixels, const std::vector<std::vector<int64_t>>& texts, const std::vector<int64_t>& row,
                      int64_t prompt_length, double length_penalty);

class CaptionScstObjective : public Objective {
 public:
  CaptionScstObjective(const ObjectiveContext& context, const CaptionScstOptions& options);
  /// One term, "scst": the mean over all hypotheses. The search writes with dropout, as the model is; its hypotheses are then read again
  /// with gradients, under other dropout than they were written with.
  std::vector<LossTerm> losses(const Batch& batch) override;
  /// "reward": the hypotheses' mean CIDEr-D.
  std::vector<std::pair<std::string, double>> metrics() const override { return {{"reward", reward_}}; }
  std::pair<int64_t, int64_t> image_size() const override { return size_; }
  std::string evaluation() const override { return "caption"; }

 private:
  /// The ids of `beams` captions of each picture, picture by picture.
  std::vector<std::vector<int64_t>> describe(const Tensor& pictures);
  std::string text_of(const std::vector<int64_t>& ids) const;

  CaptionScstOptions options_;
  Captioner& captioner_;
  CaptionTrainable& model_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::pair<int64_t, int64_t> size_;
  std::vector<int64_t> prompt_;  ///< begin, and what is put in front
  std::optional<DocumentFrequency> frequency_;
  double reward_ = 0;
};

std::unique_ptr<Objective> make_caption_scst_objective(const ObjectiveContext& context, const Config& options);

}  // namespace vlm
