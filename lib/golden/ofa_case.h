#pragma once
/// What golden cases of OFA have in common.

#include <memory>

#include "vlm/golden/case.h"
#include "vlm/models/ofa/ofa.h"

namespace vlm::golden {

/// The model of config.json and weights.safetensors, in the layout that params.layout names.
std::unique_ptr<OfaModel> ofa_model(const Case& c);
/// src_tokens, patch_images, patch_masks, patch_orders, code_masks, each where the case has it; names begin with `prefix`.
Instruction ofa_instruction(const Case& c, const std::string& prefix = "");

}  // namespace vlm::golden
