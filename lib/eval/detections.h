#pragma once
/// Boxes that something else has found in pictures, to choose from (specs: alignment, 3.6).

#include <ATen/core/Tensor.h>

#include <nlohmann/json.hpp>
#include <string>

#include "vlm/data/sample.h"

namespace vlm {

class Detections {
 public:
  /// A JSON file, {picture: [[x, y, w, h], …]}, in pixels. Throws an Error that names the file if it is none.
  explicit Detections(const std::string& file);
  /// [N, 4], double, of the picture of a sample: by its number (meta.image_id), its path, its file's name, or that without the extension.
  /// Throws a SampleError if there are none, or they are no boxes.
  at::Tensor of(const Sample& sample) const;

 private:
  std::string file_;
  nlohmann::json boxes_;
};

}  // namespace vlm
