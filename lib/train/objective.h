#pragma once
/// What a training step minimises: a batch in, named losses out. The trainer knows objectives, not models.

#include <memory>
#include <string>
#include <vector>

#include "vlm/core/config.h"
#include "vlm/core/registry.h"
#include "vlm/data/loader.h"
#include "vlm/data/transforms_train.h"
#include "vlm/models/interfaces.h"
#include "vlm/text/tokenizer.h"
#include "vlm/train/communicator.h"

namespace vlm {

/// One term of the loss.
struct LossTerm {
  std::string name;
  Tensor value;      ///< a differentiable scalar that already carries its weight
  double count = 1;  ///< items on this rank that `value` is the mean of (rows, tokens); ranks weigh by it
};

/// What an objective is made from.
struct ObjectiveContext {
  Model& model;
  std::shared_ptr<const Tokenizer> tokenizer;
  Communicator& communicator;  ///< outlives the objective
};

/// A batch of a step, and the name of the data set that gave it.
struct SourceBatch {
  std::string source;
  const Batch* batch = nullptr;
};

/// What an objective does to the samples of a data set in place of the run's augmentation; see BatchForm::prepare.
using PrepareSample = std::function<void(Sample& sample, const Image& image, SplitMix64& random, float* pixels, std::string& text)>;

class Objective {
 public:
  virtual ~Objective() = default;
  /// Told before every step (from 0) of `total_steps`, on all ranks.
  virtual void begin_step(int64_t step, int64_t total_steps) { (void)step, (void)total_steps; }
  /// Told with it: steps in an epoch; 0: data sets are mixed, and there are no epochs.
  virtual void set_steps_per_epoch(int64_t steps) { (void)steps; }
  /// The terms for a batch of this rank; what is minimised is their sum. The model is in training mode; the tensors of the
  /// batch are on its device. Every rank calls this for every step, with at least one sample.
  virtual std::vector<LossTerm> losses(const Batch& batch);
  /// True: with data.mix_within_step the objective takes all batches of a step together, by joint_losses(), and never one by one.
  virtual bool joint() const { return false; }
  /// As losses(). A data set of which a rank had no sample that can be used is left out on all ranks.
  virtual std::vector<LossTerm> joint_losses(const std::vector<SourceBatch>& batches);
  /// Numbers worth logging beside the losses ("logit_scale").
  virtual std::vector<std::pair<std::string, double>> metrics() const { return {}; }

  /// Ids in a row of Batch::ids; 0: the objective makes ids out of Batch::texts or Batch::samples itself.
  virtual int64_t text_length() const { return 0; }
  /// Writes text_length() ids. Called by several threads at once.
  virtual void tokenize(const std::string& text, int64_t* ids) const;
  /// Throws a SampleError if there is nothing to learn from a sample; `text` is the caption that was drawn. Called by several
  /// threads at once.
  virtual void check(const Sample& sample, const std::string& text) const;
  /// Pictures of a sample that preparation() gets: those behind the first as Sample::further.
  virtual int64_t pictures() const { return 1; }
  /// Height and width of Batch::images; 0 and 0: there are no pictures. Also those of evaluation and of the model that comes out.
  virtual std::pair<int64_t, int64_t> image_size() const = 0;
  /// The same for one data set, where they differ.
  virtual std::pair<int64_t, int64_t> image_size_of(const std::string& source) const { return (void)source, image_size(); }
  /// Empty: the samples of this data set are augmented as the recipe says. Called by no other thread; what it returns is.
  virtual PrepareSample preparation(const std::string& source, const TrainTransformOptions& augment, const PreprocessOptions& evaluation) const {
    return (void)source, (void)augment, (void)evaluation, PrepareSample();
  }
  /// How a model that was trained so is measured, unless the recipe says: "retrieval", "caption", "vqa" …, or "" (not at all).
  virtual std::string evaluation() const { return ""; }
};

/// Makes an objective from the keys of its part of the recipe. Throws if the model lacks what it needs.
using ObjectiveFactory = std::unique_ptr<Objective> (*)(const ObjectiveContext& context, const Config& options);
/// The objectives that recipes can name; a new one is one line in objective.cpp, or add() from a program of one's own
/// before the recipe is read.
Registry<ObjectiveFactory>& objectives();

}  // namespace vlm
