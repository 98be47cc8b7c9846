#pragma once
/// Teaching a model what sentences have to do with pictures (ALBEF, arXiv 2107.07651; mPLUG, arXiv 2205.12005; specs: alignment, 3.3 and
/// 3.4): `entail` (SNLI-VE, one picture, three classes), `nlvr2` (two pictures, two classes), and `text_assignment`, by which ALBEF's
/// model for two pictures is pretrained on captions.

#include "vlm/models/pair_classifier.h"
#include "vlm/train/objective.h"
#include "vlm/train/teacher_share.h"
#include "vlm/train/text_rows.h"

namespace vlm {

class AlbefTextAssigner;

struct SentenceOptions {
  int64_t max_words = 30;
  int64_t max_length = 0;

  void fields(Fields& f) {
    f.field("max_words", max_words, "words of a sentence that are read");
    f.field("max_length", max_length, "ids of a sentence, specials included; 0: as many as the model can read");
  }
};

struct SentenceClassOptions : TeacherOptions, SentenceOptions {
  bool swap = false;

  void fields(Fields& f) {
    TeacherOptions::fields(f);
    SentenceOptions::fields(f);
    f.field("swap", swap, "nlvr2: half of the time the pictures change places, and the words left and right with them, as mPLUG is taught");
  }
};

class SentenceClassObjective : public Objective {
 public:
  /// `name`: entail or nlvr2, which decides how many pictures and classes the model must have.
  SentenceClassObjective(const ObjectiveContext& context, const std::string& name, const SentenceClassOptions& options);
  void begin_step(int64_t step, int64_t) override { teacher_.begin_step(step); }
  void set_steps_per_epoch(int64_t steps) override { teacher_.set_steps_per_epoch(steps); }
  /// One term, under the objective's name: the mean over sentences. Takes Batch::texts and Sample::label.
  std::vector<LossTerm> losses(const Batch& batch) override;
  /// "alpha" of a model that is distilled, and "accuracy" on the last batch.
  std::vector<std::pair<std::string, double>> metrics() const override;
  void check(const Sample& sample, const std::string& text) const override;
  std::pair<int64_t, int64_t> image_size() const override { return size_; }
  int64_t pictures() const override { return model_.pictures(); }
  /// Two pictures come one below the other.
  std::pair<int64_t, int64_t> image_size_of(const std::string& source) const override;
  PrepareSample preparation(const std::string& source, const TrainTransformOptions& augment, const PreprocessOptions& evaluation) const override;
  std::string evaluation() const override { return name_; }

 private:
  std::string name_;
  PairClassifier& model_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  SentenceClassOptions options_;
  TeacherShare teacher_;
  std::pair<int64_t, int64_t> size_;
  double accuracy_ = 0;
};

class TextAssignmentObjective : public Objective {
 public:
  TextAssignmentObjective(const ObjectiveContext& context, const SentenceOptions& options);
  /// "text_assignment": the mean over captions. A batch of one sample has no other picture and teaches nothing.
  std::vector<LossTerm> losses(const Batch& batch) override;
  std::pair<int64_t, int64_t> image_size() const override { return size_; }

 private:
  AlbefTextAssigner& model_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  SentenceOptions options_;
  std::pair<int64_t, int64_t> size_;
};

std::unique_ptr<Objective> make_entail_objective(const ObjectiveContext& context, const Config& options);
std::unique_ptr<Objective> make_nlvr2_objective(const ObjectiveContext& context, const Config& options);
std::unique_ptr<Objective> make_text_assignment_objective(const ObjectiveContext& context, const Config& options);

}  // namespace vlm
