#pragma once
/// Teaching OFA one of its tasks (arXiv 2202.03052; specs: ofa, 5.2 and 6): the instruction goes in, the reply is learnt word by word.
/// Fine-tuning recipes are configs/ofa/*.yaml; several tasks at once are several objectives, each with its data sets:
///
///   objectives:
///     captions: {name: ofa, data: [captions], options: {task: caption}}
///     questions: {name: ofa, data: [questions], options: {task: vqa}}

#include "vlm/losses/encouraging.h"
#include "vlm/train/objective.h"
#include "vlm/train/ofa_examples.h"

namespace vlm {

/// How replies are scored.
struct OfaCriterionOptions : EncouragingOptions {
  std::string name = "label_smoothed";

  void fields(Fields& f) {
    f.field("criterion", name, "label_smoothed, or encouraging (arXiv 2110.06537): a bonus for ids that are likely already");
    EncouragingOptions::fields(f);
  }
};

struct OfaObjectiveOptions : OfaTaskOptions, OfaCriterionOptions {
  int64_t patch_image_size = 0;  ///< side of the pictures; 0: the model's
  int64_t sample_patches = 0;

  void fields(Fields& f) {
    OfaTaskOptions::fields(f);
    OfaCriterionOptions::fields(f);
    f.field("patch_image_size", patch_image_size, "side of the pictures, in pixels; 0: what the model was made or trained for");
    f.field("sample_patches", sample_patches, "so many patches of each picture are looked at, drawn at random; 0: all");
  }
};

/// Runs examples through a model and scores the replies.
class OfaTeacher {
 public:
  /// Throws a usage error for an unknown criterion. All outlive it.
  OfaTeacher(Instructed& model, const OfaVocabulary& vocabulary, const OfaCriterionOptions& options);
  /// pictures: [P, 3, H, W], which the examples' `picture` counts; undefined: texts alone. trie: the closed set, or null.
  SequenceLoss operator()(const std::vector<OfaExample>& examples, const Tensor& pictures, const c10::Device& device, const TokenTrie* trie = nullptr,
                          int64_t sample_patches = 0, int64_t update_num = 0) const;

 private:
  Instructed& model_;
  const OfaVocabulary& vocabulary_;
  OfaCriterionOptions options_;
};

/// A sum as a term: its mean, and what that is the mean over.
LossTerm term_of(const std::string& name, const SequenceLoss& loss);

class OfaObjective : public Objective {
 public:
  OfaObjective(const ObjectiveContext& context, const OfaObjectiveOptions& options);
  void begin_step(int64_t step, int64_t) override { step_ = step; }
  /// One term, called as the task: the mean over the ids that are scored (or rows, with sentence_avg).
  std::vector<LossTerm> losses(const Batch& batch) override;
  void check(const Sample& sample, const std::string& text) const override { task_.check(sample, text); }
  std::pair<int64_t, int64_t> image_size() const override { return size_; }
  std::string evaluation() const override;

 private:
  OfaObjectiveOptions options_;
  OfaVocabulary vocabulary_;
  OfaTask task_;
  OfaTeacher teacher_;
  std::pair<int64_t, int64_t> size_{0, 0};
  c10::Device device_;
  int64_t step_ = 0;
};

std::unique_ptr<Objective> make_ofa_objective(const ObjectiveContext& context, const Config& options);

/// Side of the pictures: what a recipe says, or the model's own. Throws a usage error if neither says it.
int64_t ofa_picture_side(Model& model, int64_t asked);
/// The model as one that follows instructions, or an Error that names the objective.
Instructed& require_instructed(Model& model, const std::string& objective);

}  // namespace vlm
