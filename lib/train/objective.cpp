#include "vlm/train/objective.h"

#include "vlm/train/clip_objective.h"

namespace vlm {

const Registry<ObjectiveFactory>& objectives() {
  static const Registry<ObjectiveFactory> table = [] {
    Registry<ObjectiveFactory> out("objective");
    out.add("clip", make_clip_objective);
    return out;
  }();
  return table;
}

}  // namespace vlm
