#pragma once
/// What the objectives on two towers share (clip, siglip, coca): rows through the towers, and the terms that a recipe adds to the loss of
/// the objective itself (train/alignment_terms.h).

#include "vlm/train/alignment_terms.h"
#include "vlm/train/objective.h"
#include "vlm/train/second_view.h"

namespace vlm {

struct TermOptions {
  Config terms;                   ///< NAME: weight of more losses
  SecondViewOptions second_view;  ///< of what terms call augmented

  void fields(Fields& f) {
    f.field("terms", terms, "more losses on the features, as {geometric_consistency: 0.25, hard_negative: {weight: 0.5, beta: 0.5}}");
    f.field("second_view", second_view, "augmentation of pictures and texts for terms that ask for it; costs a second pass of the towers");
  }
};

struct TwoTowerOptions : TermOptions {
  int64_t grad_cache = 0;   ///< rows that a tower takes at a time; 0: all (GradCache, arXiv 2101.06983)
  int64_t image_chunk = 0;  ///< the same for the image tower alone; 0: grad_cache
  int64_t text_chunk = 0;   ///< for the text tower; 0: grad_cache

  void fields(Fields& f) {
    f.field("grad_cache", grad_cache,
            "rows that a tower takes at a time, for batches larger than memory; each is computed twice. 0: all at once");
    f.field("image_chunk", image_chunk, "the same for the image tower alone; 0: grad_cache");
    f.field("text_chunk", text_chunk, "the same for the text tower alone; 0: grad_cache");
    TermOptions::fields(f);
  }
};

class TwoTowerObjective : public Objective {
 public:
  std::vector<std::pair<std::string, double>> metrics() const override { return {{"logit_scale", encoder_.logit_scale().item<double>()}}; }
  int64_t text_length() const override { return encoder_.context_length(); }
  void tokenize(const std::string& text, int64_t* ids) const override;
  std::pair<int64_t, int64_t> image_size() const override { return encoder_.image_size(); }
  std::string evaluation() const override { return "retrieval"; }

 protected:
  /// NAME -> [B, E], unit rows: image, text, and what else the terms need (train/alignment_terms.h).
  using Features = std::map<std::string, Tensor>;

  /// `name` of the objective, for messages. Throws if the model has no two towers or lacks what a term needs.
  TwoTowerObjective(const ObjectiveContext& context, const std::string& name, const TwoTowerOptions& options);

  bool has_terms() const { return !terms_.empty(); }
  /// One pass of both towers; the modalities' own features come out of the same one.
  Features embed(const Batch& batch) const;
  /// Adds the terms to `losses`. features: what embed() gave, or image and text from elsewhere. Second views, where a term looks at
  /// them, are drawn out of the stream that a step seeds on each rank, and go through the towers with gradients.
  void add_terms(const Batch& batch, Features features, std::vector<LossTerm>& losses) const;

  DualEncoder& encoder_;
  Communicator& communicator_;
  std::shared_ptr<const Tokenizer> tokenizer_;

 private:
  enum class Modality { image, text };
  /// Rows through one tower, to the features "image" or "text", with `view` behind the name.
  void embed(Modality modality, const std::string& view, const Tensor& rows, Features& into) const;

  TwoTowerOptions shared_;
  IndependentFeatures* own_;  ///< null: the model has none
  AlignmentTerms terms_;
};

}  // namespace vlm
