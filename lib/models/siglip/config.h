#pragma once
/// SigLIP's configurations (specs: clip, 3 and 8.2): the name of the image tower in timm, and HF's config.json.

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "vlm/models/clip/config.h"

namespace vlm {

/// Sizes behind "vit_base_patch16_siglip_224" and its like. Throws a usage error for any other tower.
SiglipVisionSizes siglip_sizes(const std::string& timm_model_name);
/// The name that open_clip's configuration gives a tower of these sizes; "" if it has none.
std::string siglip_tower_name(const SiglipVisionSizes& sizes, int64_t image_size);

/// From the config.json of a HF SiglipModel.
ClipConfig siglip_from_hf(const std::string& json, const std::string& name);
/// The config.json of a HF SiglipModel.
nlohmann::ordered_json siglip_to_hf(const ClipConfig& config);

}  // namespace vlm
