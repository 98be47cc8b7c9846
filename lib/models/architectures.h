#pragma once
/// Released architectures by open_clip's names, and architectures that follow from the shapes of weights (specs: clip, 2.8,
/// 3).

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "vlm/io/tensor_map.h"

namespace vlm {

/// {"model_cfg": …, "preprocess_cfg": …} of "ViT-B-32", "RN50x4-quickgelu", "ViT-SO400M-14-SigLIP-384", "coca_ViT-L-14" …
/// OpenAI's spelling ("ViT-B/32", "ViT-L/14@336px") is understood. Throws a usage error that names the nearest.
nlohmann::ordered_json open_clip_architecture(const std::string& name);
/// All names, those with "-quickgelu" included.
std::vector<std::string> open_clip_architectures();

/// The same from weights in the flat layout of OpenAI (names without wrappers): widths, layers and sizes are read off the
/// shapes; heads are as many as 64 goes into the width; QuickGELU is assumed, as OpenAI's models need it and weights cannot
/// tell. Throws an Error that says what is missing if the weights are no such model.
nlohmann::ordered_json architecture_of_weights(const TensorMap& weights);

/// True if the weights are those that OpenAI released: in half precision, or with the remarks that only its files have.
bool look_like_openai_weights(const TensorMap& weights);

}  // namespace vlm
