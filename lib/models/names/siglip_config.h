#pragma once
/// Configurations of SigLIP between open_clip (timm's name of the image tower) and HF (sizes), as JSON (specs: clip, 3 and
/// 8).
///
/// The two disagree about GELU: HF computes the tanh form everywhere, as the original code does; timm's image towers compute
/// the exact one. Features differ by about 1e-4, which neither layout can express; the text tower's form is kept.

#include <nlohmann/json_fwd.hpp>

#include "vlm/io/tensor_map.h"

namespace vlm {

/// `config`: open_clip_config.json or its model_cfg. `weights`: under open_clip's names; sizes that timm's name implies are
/// read off them. Returns the config.json of a SiglipModel. Throws an Error that names the key or the tensor that is
/// missing.
nlohmann::ordered_json siglip_config_to_hf(const nlohmann::json& config, const TensorMap& weights);

/// The model_cfg of open_clip. Throws if timm has no image tower of these sizes.
nlohmann::ordered_json siglip_config_to_open_clip(const nlohmann::json& config);

}  // namespace vlm
