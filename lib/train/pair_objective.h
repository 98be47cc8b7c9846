#pragma once
/// What the trainings of fusion models have in common (ALBEF, arXiv 2107.07651; mPLUG, arXiv 2205.12005): pictures with captions, which
/// momentum networks, wrong pairs and hidden words are made of. Specs: alignment, 2 and 4; mplug, 2.

#include "vlm/core/rng.h"
#include "vlm/losses/token_masking.h"
#include "vlm/train/objective.h"
#include "vlm/train/text_rows.h"

namespace vlm {

struct PairObjectiveOptions {
  std::string stage = "pretrain";
  double alpha = 0.4;
  bool alpha_ramp = true;
  double momentum = 0.995;
  double ita_weight = 1, itm_weight = 1, mlm_weight = 1;
  double mlm_probability = 0.15;
  int64_t max_words = 30;
  int64_t max_length = 0;

  void fields(Fields& f) {
    f.field("stage", stage, "pretrain, or retrieval: no words are hidden, captions of one picture are not told apart, the temperature is free");
    f.field("alpha", alpha, "share of the momentum networks' targets");
    f.field("alpha_ramp", alpha_ramp, "alpha grows from 0 during the first epoch");
    f.field("momentum", momentum, "how much of themselves the momentum networks keep at a step");
    f.field("ita_weight", ita_weight, "weight of contrast; it is computed in any case, since the wrong pairs are drawn by it");
    f.field("itm_weight", itm_weight, "weight of image-text matching; 0: nothing is matched");
    f.field("mlm_weight", mlm_weight, "weight of masked language modelling; 0: no words are hidden");
    f.field("mlm_probability", mlm_probability, "of a word piece to be hidden");
    f.field("max_words", max_words, "words of a caption that are read");
    f.field("max_length", max_length, "ids of a caption, specials included; 0: 25 in pretraining, 30 in retrieval");
  }
  bool pretrains() const { return stage == "pretrain"; }
};

/// Ids that frame and fill texts; -1: not used.
struct PairTokens {
  int64_t cls = 101, sep = 102, pad = 0, mask = 103, vocab_size = 30522;
};

class PairObjective : public Objective {
 public:
  void begin_step(int64_t step, int64_t total_steps) override;
  void set_steps_per_epoch(int64_t steps) override { steps_per_epoch_ = steps; }
  std::pair<int64_t, int64_t> image_size() const override { return size_; }
  std::string evaluation() const override { return "retrieval"; }

 protected:
  /// `name` of the objective, for messages. Throws a usage error for options out of range.
  PairObjective(const ObjectiveContext& context, const std::string& name, const PairObjectiveOptions& options, const PairTokens& tokens);

  /// [CLS] pieces [SEP], cut to `most` ids; without [SEP] where the family has none.
  std::vector<int64_t> framed(const std::string& text, int64_t most, bool close) const;
  /// The cleaned captions of a batch.
  std::vector<std::string> captions(const Batch& batch) const;
  TextRows rows_of(const std::vector<std::string>& texts, int64_t most, bool close, const c10::Device& device) const;
  /// Ids with some hidden, and labels; out of the stream that the step seeds.
  MaskedTokens hide_words(const TextRows& rows) const;
  /// Numbers from [0, 1) out of the stream that the step seeds: [B].
  Tensor uniforms(int64_t count, const c10::Device& device) const;
  /// A stream for the sample: the step's and its number decide.
  SplitMix64 stream_of(const Sample& sample) const;
  double alpha() const { return alpha_; }

  PairObjectiveOptions shared_;
  PairTokens tokens_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  Communicator& communicator_;
  std::pair<int64_t, int64_t> size_;

 private:
  int64_t steps_per_epoch_ = 0;
  double alpha_ = 0;
};

}  // namespace vlm
