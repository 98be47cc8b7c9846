#pragma once
/// A training run as one YAML file. `vlm pretrain --print-recipe` prints all keys.

#include <filesystem>
#include <string>
#include <vector>

#include "vlm/core/config.h"
#include "vlm/data/loader.h"
#include "vlm/data/source.h"
#include "vlm/data/transforms.h"
#include "vlm/data/transforms_train.h"
#include "vlm/models/tuning.h"
#include "vlm/train/ema.h"
#include "vlm/train/evaluation.h"
#include "vlm/train/optimizer.h"
#include "vlm/train/parameter_groups.h"
#include "vlm/train/schedule.h"

namespace vlm {

struct ModelRecipe {
  std::string family = "clip";
  std::string init;       ///< a model folder to start from; empty: new weights
  std::vector<std::string> init_new;  ///< weights that `init` may lack, in a model made anew from `family` and `config`
  std::vector<std::string> init_parts;  ///< weight files that parts of a new model begin with
  std::string tokenizer;  ///< a tokenizer file or folder; empty: that of `init`
  std::vector<std::string> freeze, unfreeze;
  Config config;          ///< the architecture, for new weights
  TuningOptions tuning;   ///< train a few parameters on top of `init`, and write those alone

  void fields(Fields& f) {
    f.field("family", family, "family of a new model: clip, siglip, coca, blip, albef (TCL and CODIS, too), mplug, ofa");
    f.field("init", init, "model folder to start from (its weights, tokenizer and preprocessing)");
    f.field("init_new", init_new,
            "patterns of weights that init need not have, as [\"text_decoder.*\"]: the model is made from family and config, and all "
            "other weights must come from init");
    f.field("init_parts", init_parts,
            "weight files that parts of a new fusion model begin with, as published: [deit_base_patch16_224.pth, bert-base-uncased/pytorch_model.bin] "
            "(albef), [ViT-B-16.pt, bert-base-uncased/pytorch_model.bin] (mplug)");
    f.field("tokenizer", tokenizer, "tokenizer file or folder (see vlm tokenizer train)");
    f.field("freeze", freeze, "patterns of parameters that stay as they are, as [\"visual.*\"]");
    f.field("unfreeze", unfreeze, "patterns that are trained although they match freeze");
    f.field("config", config, "architecture of a new model, under the keys of its family; with init: what is to be different (dropout)");
    f.field("tuning", tuning, "a few parameters that are trained, and written, on top of init");
  }
};

/// One of several data sets that are learnt from.
struct SourceRecipe : SourceOptions {
  double weight = 1;
  int64_t batch_size = 0;

  void fields(Fields& f) {
    SourceOptions::fields(f);
    f.field("weight", weight, "how often it serves a step, relative to the others");
    f.field("batch_size", batch_size, "samples of one rank; 0: data.batch_size");
  }
};

struct DataRecipe {
  SourceOptions train, val;
  Config mix;                      ///< NAME: keys of SourceRecipe, in place of `train`
  bool mix_within_step = false;
  int64_t global_batch_size = 0;
  LoaderOptions loader;
  PreprocessOptions preprocess;   ///< of evaluation, and of the model that comes out
  TrainTransformOptions augment;  ///< of training

  void fields(Fields& f) {
    f.field("train", train, "what is learnt from");
    f.field("mix", mix, "several data sets in place of train: NAME: {path: …, weight: 1, batch_size: 0}; needs train.steps");
    f.field("mix_within_step", mix_within_step, "every step has a batch of each data set of mix, in place of one that is drawn by weight");
    f.field("val", val, "what is evaluated on while training; none if path is empty");
    f.field("global_batch_size", global_batch_size, "samples of a batch over all ranks (a multiple of their number); 0: batch_size for each");
    loader.fields(f);
    f.field("preprocess", preprocess, "from picture to tensor, in evaluation and in the model folder");
    f.field("augment", augment, "from picture to tensor, in training");
  }
};

struct ObjectiveRecipe {
  std::string name = "clip";
  double weight = 1;
  std::vector<std::string> data;
  Config options;

  void fields(Fields& f) {
    f.field("name", name, "clip, siglip, coca, caption, caption_scst, vqa, entail, nlvr2, text_assignment, albef, tcl, codis, mplug, mplug_ground, ofa, ofa_pretrain, "
            "ofa_scst, or one that a program has added");
    f.field("weight", weight, "its terms are multiplied by this");
    f.field("data", data, "names of data.mix that it takes; empty: all");
    f.field("options", options, "keys of that objective");
  }
};

struct EmaRecipe : EmaOptions {
  bool enabled = false;

  void fields(Fields& f) {
    f.field("enabled", enabled, "keep a moving average");
    EmaOptions::fields(f);
  }
};

struct TrainRecipe {
  int64_t epochs = 30, steps = 0;
  double lr = 5e-4;
  ScheduleOptions schedule;
  OptimizerOptions optimizer;
  ParameterGroupOptions groups;  ///< weight_decay and its like; not a section of its own
  double grad_clip_norm = 0;
  std::string grad_clip_kind = "2";
  int64_t accumulate = 1;
  std::string accumulate_by = "batches";
  std::string precision = "fp32";
  bool recompute = false;
  bool zero1 = false;
  double bucket_mb = 25;
  bool tf32 = false;
  EmaRecipe ema;
  int64_t nan_limit = 3;
  int64_t seed = 0;
  int64_t eval_every_epochs = 5, eval_every_steps = 0;
  int64_t save_every_epochs = 5, save_every_steps = 0;
  double save_every_minutes = 30;
  int64_t keep_last = 2;
  bool keep_best = true, save_in_background = true;
  std::string best_metric;
  int64_t patience = 0;
  bool tensorboard = true;

  void fields(Fields& f) {
    f.field("epochs", epochs, "passes over the training data");
    f.field("steps", steps, "optimiser steps, in place of epochs; 0: epochs count");
    f.field("lr", lr, "peak learning rate");
    f.field("schedule", schedule, "learning rate over steps");
    f.field("optimizer", optimizer, "how gradients become updates");
    groups.fields(f);
    f.field("grad_clip_norm", grad_clip_norm, "largest joint norm of the gradients; 0: any");
    f.field("grad_clip_kind", grad_clip_kind, "2: root of the sum of squares; inf: largest absolute value");
    f.field("accumulate", accumulate, "batches that a step adds up (contrastive losses see one batch at a time: see grad_cache for them)");
    f.field("accumulate_by", accumulate_by, "batches: each of these counts alike; items: by the ids (or rows) that its loss is the mean of, as fairseq does");
    f.field("precision", precision, "fp32, bf16 (autocast) or fp16 (autocast with loss scaling, on GPUs)");
    f.field("recompute", recompute, "compute activations of each block again in the backward pass, to save memory");
    f.field("zero1", zero1, "each rank keeps only its share of the optimiser's state");
    f.field("bucket_mb", bucket_mb, "gradients are averaged over ranks in portions of this size");
    f.field("tf32", tf32, "TF32 matrix products on GPUs");
    f.field("ema", ema, "moving average of the weights; what is evaluated and written to model/ if it is on");
    f.field("nan_limit", nan_limit, "steps whose loss or gradient is no number are skipped; so many in a row end the run");
    f.field("seed", seed, "of initial weights and dropout (order and augmentation: data.seed)");
    f.field("eval_every_epochs", eval_every_epochs, "how often data.val is evaluated; 0: only at the end");
    f.field("eval_every_steps", eval_every_steps, "the same in steps; counts before eval_every_epochs");
    f.field("save_every_epochs", save_every_epochs, "how often a checkpoint is written; 0: only at the end");
    f.field("save_every_steps", save_every_steps, "the same in steps, beside save_every_epochs");
    f.field("save_every_minutes", save_every_minutes, "and when the last one is so old; 0: never for its age");
    f.field("keep_last", keep_last, "checkpoints that are kept");
    f.field("keep_best", keep_best, "and the one with the best evaluation");
    f.field("save_in_background", save_in_background, "train on while a checkpoint is being written (needs memory for a copy)");
    f.field("best_metric", best_metric, "metric of the evaluation that says what is best; empty: that of the protocol");
    f.field("patience", patience, "evaluations in a row without a better one that end the run; 0: none do");
    f.field("tensorboard", tensorboard, "write event files for TensorBoard");
  }
};

/// A further evaluation beside that of data.val.
struct FurtherEvaluation : EvaluationOptions {
  SourceOptions data;

  void fields(Fields& f) {
    f.field("data", data, "what is evaluated on");
    EvaluationOptions::fields(f);
  }
};

struct Recipe {
  std::string out = "runs/run";
  ModelRecipe model;
  DataRecipe data;
  ObjectiveRecipe objective;
  Config objectives;  ///< NAME: keys of ObjectiveRecipe, in place of `objective`
  TrainRecipe train;
  EvaluationOptions eval;
  Config evals;       ///< NAME: keys of FurtherEvaluation

  void fields(Fields& f) {
    f.field("out", out, "folder of the run: metrics.jsonl, checkpoints/, model/");
    f.field("model", model, "what is trained");
    f.field("data", data, "on what");
    f.field("objective", objective, "what is minimised");
    f.field("objectives", objectives, "several in place of objective: NAME: {weight: 1, data: [], options: {}}; a name other than its own by name:");
    f.field("train", train, "how");
    f.field("eval", eval, "how data.val is evaluated");
    f.field("evals", evals, "further evaluations, of other tasks of a mix: NAME: {name: vqa, data: {path: …}} and keys of eval; data.val says what is best");
  }
};

}  // namespace vlm
