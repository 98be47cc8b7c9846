#pragma once
/// Learning rates over optimiser steps (specs: clip, 14; efficiency, 9; alignment, 4; mplug, 4). The schedules of seven code bases, under one set of
/// keys; `base_lr` is the peak (fairseq's triangular: the lowest value).
///
///   style        names                                                     warm-up
///   open_clip    cosine, const, const-cooldown                             base (k + 1) / w
///   fairseq      cosine, polynomial_decay, inverse_sqrt, tri_stage,        warmup_init_lr to base
///                triangular, step
///   timm         cosine, poly, step                                        warmup_init_lr to base
///   big_vision   cosine, linear, polynomial, rsqrt, stair                  the curve times min(1, k / w)
///   hf           cosine, linear, polynomial                                base k / w
///   ctp          cosine                                                    none
///   albef        cosine                                                    warmup_init_lr to base, in stairs of warmup_stair
///                                                                          steps within the first epoch; the curve falls by epochs
///
/// k: the step from 0 (fairseq and timm: the updates that were made before), w: steps of warm-up.

#include <cstdint>
#include <string>
#include <vector>

#include "vlm/core/config.h"

namespace vlm {

struct ScheduleOptions {
  std::string style = "open_clip";
  std::string name = "cosine";
  int64_t warmup_steps = 0;      ///< the rate grows over these
  double warmup_ratio = 0;       ///< the same as a part of all steps
  double warmup_init_lr = -1;    ///< where warm-up begins; -1: as the style has it (fairseq: min_lr or 0; timm: 0)
  std::string warmup_prefix = "auto";  ///< timm: the curve begins after warm-up (true), or runs beneath it (false)
  double min_lr = 0;             ///< where the curve ends
  double max_lr = 0;             ///< triangular: the highest value
  double power = 1;              ///< polynomial curves: exponent
  int64_t cooldown_steps = 0;    ///< const-cooldown, big_vision: the last steps, in which the rate falls
  double cooldown_power = 1;     ///< const-cooldown: exponent
  double cooldown_end_lr = 0;    ///< const-cooldown: at the very end
  int64_t period = 0;            ///< fairseq's and timm's cycles and stairs: their length; 0: all steps
  double period_mult = 1;        ///< … each cycle is so many times as long as the last
  double shrink = 0.1;           ///< … and its top (and stairs) so many times as high
  int64_t cycles = 1;            ///< timm: min_lr after so many
  bool shrink_min = false;       ///< triangular: the lowest value shrinks, too
  double k_decay = 1;            ///< timm: exponent of time (arXiv 2004.05909)
  double num_cycles = 0.5;       ///< hf cosine: waves
  std::vector<double> phase_ratio = {};  ///< tri_stage: warm-up, hold and decay as parts of all steps …
  int64_t hold_steps = 0;           ///< … or in steps
  int64_t decay_steps = 0;
  double init_lr_scale = 0.01;   ///< tri_stage: the rate begins at base times this …
  double final_lr_scale = 0.01;  ///< … and ends at base times this
  double timescale = 10000;      ///< big_vision rsqrt: steps after which the rate is down to 1/√2
  double shift = 0;              ///< big_vision rsqrt: added to the steps
  std::vector<int64_t> steps = {};    ///< big_vision stair: where the rate changes …
  std::vector<double> mults = {};     ///< … to base times these
  int64_t warmup_stair = 100;    ///< albef: steps over which warm-up holds a rate
  bool in_epochs = false;        ///< timm: warmup_steps and period count epochs, and the rate is constant in each

  void fields(Fields& f) {
    f.field("style", style, "open_clip, fairseq, timm, big_vision, hf, ctp or albef (ALBEF, TCL, mPLUG)");
    f.field("name", name, "cosine; open_clip: const, const-cooldown; fairseq: polynomial_decay, inverse_sqrt, tri_stage, triangular, "
                          "step; timm: poly, step; big_vision: linear, polynomial, rsqrt, stair; hf: linear, polynomial");
    f.field("warmup_steps", warmup_steps, "steps over which the rate grows linearly");
    f.field("warmup_ratio", warmup_ratio, "the same as a part of all steps");
    f.field("warmup_init_lr", warmup_init_lr, "fairseq, timm, albef: where warm-up begins; -1: as the style has it");
    f.field("warmup_prefix", warmup_prefix, "timm: true: the curve begins after warm-up; auto: true for step only");
    f.field("min_lr", min_lr, "where the curve ends");
    f.field("max_lr", max_lr, "triangular: highest value (the lowest is the learning rate)");
    f.field("power", power, "polynomial curves: exponent");
    f.field("cooldown_steps", cooldown_steps, "const-cooldown, big_vision: steps over which it falls at the end");
    f.field("cooldown_power", cooldown_power, "const-cooldown: exponent of the fall");
    f.field("cooldown_end_lr", cooldown_end_lr, "const-cooldown: rate at the very end");
    f.field("period", period, "fairseq, timm: steps of the first cycle, or of a stair; 0: all");
    f.field("period_mult", period_mult, "fairseq, timm cosine and poly: a cycle is so many times as long as the last");
    f.field("shrink", shrink, "fairseq, timm: the top of a cycle, or a stair, is so many times as high as the last");
    f.field("cycles", cycles, "timm: min_lr after so many");
    f.field("shrink_min", shrink_min, "triangular: the lowest value shrinks, too");
    f.field("k_decay", k_decay, "timm: exponent of time");
    f.field("num_cycles", num_cycles, "hf cosine: waves");
    f.field("phase_ratio", phase_ratio, "tri_stage: warm-up, hold and decay as parts of all steps");
    f.field("hold_steps", hold_steps, "tri_stage: steps at the peak");
    f.field("decay_steps", decay_steps, "tri_stage: steps of the fall");
    f.field("init_lr_scale", init_lr_scale, "tri_stage: the rate begins at so many times the peak");
    f.field("final_lr_scale", final_lr_scale, "tri_stage: the rate ends at so many times the peak");
    f.field("timescale", timescale, "rsqrt: steps after which the rate is down to 0.7 of the peak");
    f.field("shift", shift, "rsqrt: added to the steps");
    f.field("steps", steps, "stair: where the rate changes");
    f.field("mults", mults, "stair: to how many times the peak");
    f.field("warmup_stair", warmup_stair, "albef: the rate grows every so many steps, of the first epoch");
    f.field("in_epochs", in_epochs, "timm: warmup_steps and period count epochs, in each of which the rate is constant");
  }
};

/// The rate for optimiser step `step` (from 0) of `total_steps`. It depends on nothing else, so that any step of a run can be
/// begun at. `steps_per_epoch` is needed for `in_epochs` and style albef alone. Throws a usage error for an unknown style or name, and for
/// numbers that make no curve.
double learning_rate(const ScheduleOptions& options, double base_lr, int64_t step, int64_t total_steps, int64_t steps_per_epoch = 0);

/// True if a parameter with a learning rate of its own follows the curve of that rate, from the same warmup_init_lr and to the same
/// min_lr as the others (albef), and not the common curve times a factor.
bool has_own_rates(const ScheduleOptions& options);

/// What fairseq's and timm's optimisers hold before their schedule is asked for the first time; of the others, the rate of step 0.
double initial_learning_rate(const ScheduleOptions& options, double base_lr, int64_t total_steps, int64_t steps_per_epoch = 0);

}  // namespace vlm
