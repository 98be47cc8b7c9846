#pragma once
/// ALBEF (with TCL and CODIS) and mPLUG between HF's layout, as this project writes it, and that of their public code.

#include "vlm/infer/convert.h"
#include "vlm/models/model_source.h"

namespace vlm {

/// "albef" or "mplug" where the weights are such a model's; empty for others.
std::string fused_family(const ModelSource& source);

/// As convert_model(), for a source of a fused_family(); options.to is "hf" or the family's name.
///
///   hf:     config.json, model.safetensors
///   albef:  checkpoint_best.pth with "model", config.yaml, config_bert.json
///   mplug:  pytorch_model.bin with "model", config.yaml, config_bert.json
///
/// and in all of them preprocessor_config.json, which the public code does not read, and the tokenizer.
ConvertReport convert_fused(const std::filesystem::path& source, const std::filesystem::path& target, const ConvertOptions& options);

}  // namespace vlm
