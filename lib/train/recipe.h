#pragma once
/// A training run as one YAML file.

#include <filesystem>
#include <string>
#include <vector>

#include "vlm/core/config.h"
#include "vlm/data/loader.h"
#include "vlm/data/source.h"
#include "vlm/data/transforms_train.h"
#include "vlm/data/transforms.h"
#include "vlm/train/optimizer.h"
#include "vlm/train/parameter_groups.h"
#include "vlm/train/schedule.h"

namespace vlm {

struct ModelRecipe {
  std::string family = "clip";
  std::string init;       ///< a model folder to start from; empty: new weights
  std::string tokenizer;  ///< a tokenizer file or folder; empty: that of `init`
  Config config;          ///< the architecture, for new weights

  void fields(Fields& f) {
    f.field("family", family, "family of a new model: clip");
    f.field("init", init, "model folder to start from (its weights, tokenizer and preprocessing)");
    f.field("tokenizer", tokenizer, "tokenizer file or folder (see vlm tokenizer train)");
    f.field("config", config, "architecture of a new model, under the keys of its family");
  }
};

struct DataRecipe {
  SourceOptions train, val;
  LoaderOptions loader;
  PreprocessOptions preprocess;   ///< of evaluation, and of the model that comes out
  TrainTransformOptions augment;  ///< of training

  void fields(Fields& f) {
    f.field("train", train, "what is learnt from");
    f.field("val", val, "what is evaluated on while training; none if path is empty");
    loader.fields(f);
    f.field("preprocess", preprocess, "from picture to tensor, in evaluation and in the model folder");
    f.field("augment", augment, "from picture to tensor, in training");
  }
};

/// Which optimiser, and what it does to which parameter.
struct OptimizerRecipe : OptimizerOptions, ParameterGroupOptions {
  void fields(Fields& f) {
    OptimizerOptions::fields(f);
    ParameterGroupOptions::fields(f);
  }
};

struct TrainRecipe {
  int64_t epochs = 30;
  double lr = 5e-4;
  OptimizerRecipe optimizer;
  double grad_clip_norm = 0;
  int64_t seed = 0;
  int64_t eval_every_epochs = 5;
  int64_t save_every_epochs = 5;
  ScheduleOptions schedule;

  void fields(Fields& f) {
    f.field("epochs", epochs, "passes over the training data");
    f.field("lr", lr, "peak learning rate");
    f.field("optimizer", optimizer, "how gradients become steps");
    f.field("grad_clip_norm", grad_clip_norm, "largest joint norm of the gradients; 0: any");
    f.field("seed", seed, "of initial weights and dropout (order and augmentation: data.seed)");
    f.field("eval_every_epochs", eval_every_epochs, "how often data.val is evaluated; 0: only at the end");
    f.field("save_every_epochs", save_every_epochs, "how often a checkpoint is written; 0: only at the end");
    f.field("schedule", schedule, "learning rate over steps");
  }
};

struct ObjectiveRecipe {
  std::string name = "clip";
  Config options;

  void fields(Fields& f) {
    f.field("name", name, "clip");
    f.field("options", options, "keys of that objective");
  }
};

struct Recipe {
  std::string out = "runs/run";
  ModelRecipe model;
  DataRecipe data;
  ObjectiveRecipe objective;
  TrainRecipe train;

  void fields(Fields& f) {
    f.field("out", out, "folder of the run: log.jsonl, checkpoint/, model/");
    f.field("model", model, "what is trained");
    f.field("data", data, "on what");
    f.field("objective", objective, "what is minimised");
    f.field("train", train, "how");
  }
};

}  // namespace vlm
