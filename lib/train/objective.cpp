#include "vlm/train/objective.h"

#include "vlm/train/clip_objective.h"

namespace vlm {

void Objective::tokenize(const std::string&, int64_t*) const { fail("this objective has no ids of a fixed length"); }

void Objective::check(const Sample& sample, const std::string& text) const {
  const std::string place = sample.shard + ": " + sample.key;
  if (sample.images.empty()) throw SampleError("no_image", place);
  if (text.empty()) throw SampleError("no_caption", place);
}

Registry<ObjectiveFactory>& objectives() {
  static Registry<ObjectiveFactory> table = [] {
    Registry<ObjectiveFactory> out("objective");
    out.add("clip", make_clip_objective);
    return out;
  }();
  return table;
}

}  // namespace vlm
