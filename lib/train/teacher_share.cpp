#include "vlm/train/teacher_share.h"

#include "vlm/models/layers/momentum_copy.h"
#include "vlm/train/momentum.h"

namespace vlm {

TeacherShare::TeacherShare(const TeacherOptions& options, Model& model, bool has_teacher) : options_(options) {
  if (options_.alpha == -1) options_.alpha = has_teacher ? 0.4 : 0;
  const auto share = [](const char* key, double value) {
    if (!(value >= 0 && value <= 1)) fail_usage("objective.options.", key, " must be from 0 to 1, and is ", value);
  };
  share("alpha", options_.alpha);
  share("momentum", options_.momentum);
  if (options_.alpha > 0 && !has_teacher) {
    fail_usage("objective.options.alpha is ", options_.alpha, ", but this ", model.family(),
               " model has no momentum copies that could teach (those of ALBEF's models do: model.config.momentum_copies)");
  }
  const auto* taught = dynamic_cast<const MomentumTaught*>(&model);
  if (taught && !taught->momentum_tensors().empty()) copies_ = taught;
  now_ = options_.alpha;
}

void TeacherShare::begin_step(int64_t step) { now_ = distillation_share(options_.alpha, step, options_.alpha_ramp ? steps_per_epoch_ : 0); }

}  // namespace vlm
