#pragma once
/// Teaching a model to answer questions about pictures by writing the answer (ALBEF, arXiv 2107.07651; BLIP, arXiv 2201.12086, section
/// 5.3; mPLUG, arXiv 2205.12005). Fine-tuning on VQAv2 is configs/blip/vqa_v2.yaml.

#include "vlm/models/trainable.h"
#include "vlm/train/objective.h"
#include "vlm/train/teacher_share.h"

namespace vlm {

struct VqaObjectiveOptions : TeacherOptions {
  /// all: every answer of a question is taught, times its weight; one: a single one, drawn by weight.
  std::string answers = "all";
  double label_smoothing = -1;     ///< share of the target that is spread over the vocabulary; -1: as the family is taught
  int64_t max_question_length = 35;  ///< ids, specials included; longer questions are cut
  int64_t max_answer_length = 10;    ///< ids, begin and end included
  bool mask_question_padding = false;  ///< answers do not look at the padding of shorter questions; the reference lets them
  std::string questions = "auto";      ///< what is done to questions: auto (as the family wants), none, albef, mplug
  int64_t max_question_words = 30;     ///< words of a question that are kept where it is cleaned
  bool enc_token = false;            ///< questions begin with [ENC], as in the original code, instead of [CLS], as in HF's

  void fields(Fields& f) {
    f.field("answers", answers, "all: every answer of a question times its weight; one: a single one, drawn by weight");
    TeacherOptions::fields(f);
    f.field("label_smoothing", label_smoothing, "share of the target that is spread over the vocabulary; -1: as the family is taught (BLIP 0.1, ALBEF and mPLUG 0)");
    f.field("max_question_length", max_question_length, "ids of a question, specials included; longer ones are cut");
    f.field("max_answer_length", max_answer_length, "ids of an answer, begin and end included; longer ones are cut");
    f.field("mask_question_padding", mask_question_padding, "answers do not look at the padding of shorter questions; the reference lets them");
    f.field("questions", questions, "clean-up of questions: albef, mplug, none, or auto: as the family wants (ALBEF: its own; others: none)");
    f.field("max_question_words", max_question_words, "words of a question that are kept where it is cleaned");
    f.field("enc_token", enc_token, "questions begin with [ENC], as in the original BLIP code, instead of [CLS]");
  }
};

/// Takes Sample::question, answers and weights. Sources say what weights mean (ALBEF's lists: the share of the people who gave
/// the answer; VQAv2's files: its official accuracy); answers without weights share one weight evenly.
class VqaObjective : public Objective {
 public:
  VqaObjective(const ObjectiveContext& context, const VqaObjectiveOptions& options);
  void begin_step(int64_t step, int64_t total_steps) override;
  void set_steps_per_epoch(int64_t steps) override { teacher_.set_steps_per_epoch(steps); }
  /// "answer": the mean over questions of sum over answers of weight times sum over ids of the cross entropy. An answer that
  /// is drawn weighs as all answers of its question together.
  std::vector<LossTerm> losses(const Batch& batch) override;
  void check(const Sample& sample, const std::string& text) const override;
  std::pair<int64_t, int64_t> image_size() const override { return size_; }
  std::string evaluation() const override { return "vqa"; }
  /// "alpha" of a model that is distilled.
  std::vector<std::pair<std::string, double>> metrics() const override;

 private:
  std::vector<int64_t> question_ids(const Sample& sample) const;

  AnswerTrainable& answerer_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  VqaObjectiveOptions options_;
  TeacherShare teacher_;
  int64_t ends_ = 1;  ///< behind an answer
  std::pair<int64_t, int64_t> size_;
};

/// The answers of a sample that are taught, and what each weighs. With `one`, a single one is drawn from a stream that
/// `seed` and the sample's number name. Throws an Error that names the sample if there is none, or weights are no weights.
std::vector<std::pair<std::string, double>> taught_answers(const Sample& sample, bool one, uint64_t seed);

std::unique_ptr<Objective> make_vqa_objective(const ObjectiveContext& context, const Config& options);

}  // namespace vlm
