#include "vlm/eval/detections.h"

#include <ATen/ops/tensor.h>

#include <cmath>
#include <filesystem>

#include "vlm/core/strings.h"
#include "vlm/data/json_items.h"
#include "vlm/io/atomic_file.h"

namespace vlm {

namespace detections {

/// What a file may call the picture of a sample, in the order in which it is looked up.
std::vector<std::string> names_of(const Sample& sample) {
  std::vector<std::string> out;
  if (sample.meta.is_object() && sample.meta.contains("image_id")) {
    const auto& id = sample.meta["image_id"];
    out.push_back(id.is_string() ? id.get<std::string>() : id.dump());
  }
  if (sample.images.empty()) return out;
  const std::filesystem::path path(sample.images[0].name);
  out.insert(out.end(), {path.string(), path.filename().string(), path.stem().string()});
  return out;
}

/// The numbers of a list of boxes; empty if it is none.
std::vector<double> numbers_of(const nlohmann::json& list) {
  std::vector<double> out;
  if (!list.is_array()) return {};
  for (const auto& box : list) {
    if (!box.is_array() || box.size() != 4) return {};
    for (size_t k = 0; k < 4; ++k) {
      if (!box[k].is_number()) return {};
      const auto x = box[k].get<double>();
      if (!std::isfinite(x) || (k >= 2 && x <= 0)) return {};
      out.push_back(x);
    }
  }
  return out;
}

}  // namespace detections

Detections::Detections(const std::string& file) : file_(file), boxes_(parse_json_line(read_file(file))) {
  if (!boxes_.is_object()) fail(file, " holds no detections: it must be JSON of the form {picture: [[x, y, w, h], …]}");
}

at::Tensor Detections::of(const Sample& sample) const {
  for (const auto& name : detections::names_of(sample)) {
    const auto it = boxes_.find(name);
    if (it == boxes_.end()) continue;
    const std::vector<double> numbers = detections::numbers_of(*it);
    if (numbers.empty()) throw SampleError("bad_box", sample.place(), concat(file_, ": '", name, "' must be a list of boxes [x, y, w, h] with an area"));
    return at::tensor(numbers, at::kDouble).view({static_cast<int64_t>(numbers.size() / 4), 4});
  }
  throw SampleError("bad_box", sample.place(), file_ + " has no detections of its picture");
}

}  // namespace vlm
