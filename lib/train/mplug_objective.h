#pragma once
/// Pairs of pictures and captions for mPLUG (arXiv 2205.12005; specs: mplug, 2 and 3.3): retrieval fine-tuning aligns and matches; a
/// pretraining model learns masked words and the rest of a caption behind its beginning as well. Captions and answers are taught by
/// the objectives `caption` and `vqa`.

#include "vlm/models/mplug/mplug.h"
#include "vlm/train/objective.h"

namespace vlm {

struct MplugObjectiveOptions {
  double alpha = 0.4;             ///< share of the slow copies' targets
  int64_t ramp_steps = 0;         ///< steps (the reference: those of the first epoch) over which alpha grows from 0; 0: none
  double momentum = 0.995;        ///< of the slow copies
  int64_t max_length = 30;        ///< ids of a caption, begin included
  int64_t max_prefix_length = 20; ///< ids of a caption's beginning, and of its rest, begin and end included
  double mask_probability = 0.15; ///< of a word to be masked

  void fields(Fields& f) {
    f.field("alpha", alpha, "share of the slow copies' targets");
    f.field("ramp_steps", ramp_steps, "steps over which alpha grows from 0, as published those of the first epoch; 0: none");
    f.field("momentum", momentum, "of the slow copies");
    f.field("max_length", max_length, "ids of a caption, begin included; longer ones are cut");
    f.field("max_prefix_length", max_prefix_length, "ids of a caption's beginning, and of its rest; longer ones are cut");
    f.field("mask_probability", mask_probability, "of a word to be masked");
  }
};

/// Takes captions, and the numbers of pictures: in retrieval no two captions of one picture are told apart.
class MplugObjective : public Objective {
 public:
  /// Gives the model slow copies and queues if it has none.
  MplugObjective(const ObjectiveContext& context, const MplugObjectiveOptions& options);
  void begin_step(int64_t step, int64_t total_steps) override { (void)total_steps, step_ = step; }
  /// "ita" and "itm"; with a pretraining model "mlm" and "prefix", too.
  std::vector<LossTerm> losses(const Batch& batch) override;
  std::pair<int64_t, int64_t> image_size() const override { return model_.picture_size(); }
  std::vector<std::pair<std::string, double>> metrics() const override;
  std::string evaluation() const override { return "retrieval"; }

 private:
  MplugModel& model_;
  MplugPretrainer* pretrainer_;  ///< null: retrieval
  std::shared_ptr<const Tokenizer> tokenizer_;
  Communicator& communicator_;
  MplugObjectiveOptions options_;
  int64_t step_ = 0;
};

/// A caption cut between two words: what is read, and what is to be written. Both lie between single spaces; the first may be empty,
/// the second is not unless the caption is. cut: which word the second begins with.
std::pair<std::string, std::string> cut_caption(const std::string& caption, int64_t cut);
/// Words between single spaces, of the caption without white space around it.
int64_t caption_words(const std::string& caption);

std::unique_ptr<Objective> make_mplug_objective(const ObjectiveContext& context, const Config& options);

}  // namespace vlm
