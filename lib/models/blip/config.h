#pragma once
/// The architecture of a BLIP model, under the keys of HF's config.json (specs: clip, 5.3 and 8.2).

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "vlm/models/layers/bert.h"

namespace vlm {

struct BlipVisionConfig {
  int64_t width = 768, intermediate = 3072, layers = 12, heads = 12, image_size = 384, patch_size = 16;
  double eps = 1e-5;
  Activation activation = Activation::gelu;
};

struct BlipConfig {
  BlipVisionConfig vision;
  BertOptions text;
  int64_t bos = 30522, sep = 102, pad = 0;
  int64_t joint_width = 256;        ///< width of the space in which pictures and texts are compared
  double label_smoothing = 0;       ///< of the caption's loss
  std::string head;                 ///< caption, vqa, retrieval; empty where the file does not say

  static BlipConfig from_hf(const std::string& json, const std::string& name);
  nlohmann::ordered_json to_hf() const;
};

}  // namespace vlm
