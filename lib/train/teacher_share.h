#pragma once
/// How much momentum copies have to say in fine-tuning (ALBEF, arXiv 2107.07651; specs: alignment, 3.2 to 3.4).

#include <cstdint>
#include <string>

#include "vlm/core/config.h"
#include "vlm/models/interfaces.h"
#include "vlm/train/task_step.h"

namespace vlm {

class MomentumTaught;

struct TeacherOptions {
  double alpha = -1;
  bool alpha_ramp = true;
  double momentum = 0.995;

  void fields(Fields& f) {
    f.field("alpha", alpha, "share of the momentum copies' targets; -1: 0.4 of a model with copies that can teach (ALBEF), 0 of others");
    f.field("alpha_ramp", alpha_ramp, "alpha grows from 0 during the first epoch");
    f.field("momentum", momentum, "how much of themselves the momentum copies keep at a step");
  }
};

class TeacherShare {
 public:
  /// Throws a usage error for options out of range, and for an alpha above 0 of a model that has no teacher.
  TeacherShare(const TeacherOptions& options, Model& model, bool has_teacher);
  void set_steps_per_epoch(int64_t steps) { steps_per_epoch_ = steps; }
  void begin_step(int64_t step);
  /// At this step, and in full.
  double alpha() const { return now_; }
  double full() const { return options_.alpha; }
  /// Null: the model has no copies.
  const MomentumTaught* copies() const { return copies_; }
  TaskStepOptions step_options() const { return {.alpha = now_, .momentum = options_.momentum}; }

 private:
  TeacherOptions options_;
  const MomentumTaught* copies_ = nullptr;
  int64_t steps_per_epoch_ = 0;
  double now_ = 0;
};

}  // namespace vlm
