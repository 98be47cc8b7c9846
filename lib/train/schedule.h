#pragma once
/// Learning rates over optimiser steps (specs: clip, 14).

#include <cstdint>
#include <string>

#include "vlm/core/config.h"

namespace vlm {

struct ScheduleOptions {
  std::string name = "cosine";  ///< cosine, const, const-cooldown
  int64_t warmup_steps = 0;     ///< the rate grows linearly over these
  int64_t cooldown_steps = 0;   ///< const-cooldown: the last steps, in which the rate falls
  double cooldown_power = 1.0;
  double cooldown_end_lr = 0.0;

  void fields(Fields& f) {
    f.field("name", name, "cosine, const or const-cooldown");
    f.field("warmup_steps", warmup_steps, "steps over which the rate grows linearly");
    f.field("cooldown_steps", cooldown_steps, "const-cooldown: steps over which it falls at the end");
    f.field("cooldown_power", cooldown_power, "const-cooldown: exponent of the fall");
    f.field("cooldown_end_lr", cooldown_end_lr, "const-cooldown: rate at the very end");
  }
};

/// The rate for optimiser step `step` (from 0) of `total_steps`. Throws a usage error for an unknown name.
double learning_rate(const ScheduleOptions& options, double base_lr, int64_t step, int64_t total_steps);

}  // namespace vlm
