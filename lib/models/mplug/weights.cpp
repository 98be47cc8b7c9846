#include <ATen/core/Tensor.h>

#include <set>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/models/mplug/mplug.h"
#include "vlm/models/names/mplug_names.h"

namespace vlm {

namespace mplug_weights {

/// First parts of all names that checkpoints of mPLUG hold.
const std::set<std::string> parts = {"visual_encoder", "text_encoder", "fusion_encoder", "text_decoder", "visn_fc",   "visn_layer_norm",
                                     "vision_proj",    "text_proj",    "itm_head",       "temp",         "cls_head",  "image_queue",
                                     "text_queue",     "idx_queue",    "queue_ptr",      "prefix_ids",   "target_ids", "bbox_prob_mask"};

std::string first_part(const std::string& name) { return name.substr(0, name.find('.')); }

std::string without_m(const std::string& part) { return ends_with(part, "_m") ? part.substr(0, part.size() - 2) : part; }

/// CLIP's text tower, which lies beside "visual.".
bool of_text_tower(const std::string& name) {
  const std::string part = without_m(first_part(name));
  if (part != "visual_encoder") return false;
  const std::string rest = name.substr(first_part(name).size() + 1);
  for (const char* start : {"positional_embedding", "text_projection", "logit_scale", "token_embedding.", "ln_final.", "transformer."}) {
    if (starts_with(rest, start)) return true;
  }
  return false;
}

/// The number of a fusion layer, or -1.
int64_t fusion_layer(const std::string& name) {
  const std::string marker = ".encoder.layer.";
  const size_t at = name.find(marker);
  if (without_m(first_part(name)) != "fusion_encoder" || at == std::string::npos) return -1;
  const size_t from = at + marker.size(), to = name.find('.', from);
  const std::string digits = name.substr(from, to - from);
  return digits.empty() || digits.size() > 3 || digits.find_first_not_of("0123456789") != std::string::npos ? -1 : std::stoll(digits);
}

/// What pre-training begins with: a CLIP's image tower, and a BERT, whose lower layers read texts, whose upper ones fuse, and all of which
/// become the decoder (specs: mplug, 1.3). Tensors under the names that `names` has for them, and under those of the slow copies.
TensorMap as_beginnings(const TensorMap& weights, const std::set<std::string>& names) {
  TensorMap out;
  const auto put = [&](const std::string& name, const Tensor& tensor) {
    for (const std::string& own : {name, first_part(name) + "_m" + name.substr(first_part(name).size())}) {
      if (names.count(own)) out.emplace(own, tensor);
    }
  };
  for (const auto& [name, tensor] : weights) {
    if (starts_with(name, "visual.")) put("visual_encoder." + name, tensor);
    if (starts_with(name, "cls.predictions.")) {
      put("text_decoder." + name, tensor);
      put("fusion_encoder." + name, tensor);
    }
    if (!starts_with(name, "bert.")) continue;
    put("text_encoder" + name.substr(4), tensor);
    put("text_decoder." + name, tensor);
    put("fusion_encoder." + name, tensor);
    put("fusion_encoder" + name.substr(4), tensor);
  }
  return out;
}

}  // namespace mplug_weights

TensorMap mplug_weights_for(const MplugModel& model, const TensorMap& weights) {
  using namespace mplug_weights;
  const MplugConfig& config = model.architecture();
  const bool wrapped = config.task == MplugTask::pretrain;
  std::set<std::string> names, used_parts;
  for (const auto& entry : model.state()) {
    names.insert(entry.name);
    used_parts.insert(first_part(entry.name));
  }
  const bool begins = weights.count("visual.conv1.weight") > 0 || weights.count("bert.encoder.layer.0.attention.self.query.weight") > 0;
  TensorMap out;
  for (const auto& [plain, tensor] : begins ? as_beginnings(weights, names) : mplug_finetuned_names(weights)) {
    std::string name = plain;
    const std::string part = first_part(name);
    if (!begins && wrapped && without_m(part) == "fusion_encoder" && !starts_with(name, part + ".cls.")) name = part + ".bert" + name.substr(part.size());
    if (!names.count(name)) {
      const bool known = parts.count(without_m(part)) > 0;
      const bool has_no_use = known && !used_parts.count(part);
      const bool of_fusion = without_m(part) == "fusion_encoder";
      const bool unused_fusion = of_fusion && (name.find(".embeddings.") != std::string::npos || starts_with(name, part + ".cls.") ||
                                               (fusion_layer(name) >= 0 && fusion_layer(name) < config.first_fusion_layer()));
      if (has_no_use || unused_fusion || of_text_tower(name) || name == part + ".visual.proj" || ends_with(name, "token_type_ids")) continue;
    }
    const bool positions = ends_with(name, ".visual.positional_embedding") && tensor.dim() == 2;
    const int64_t grid = config.image_res / config.patch_size;
    out.emplace(name, positions ? with_context(name, [&] { return resize_position_table(tensor, grid, grid, 1, TableResize::bilinear); }) : tensor);
  }
  return out;
}

}  // namespace vlm
