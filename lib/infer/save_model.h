#pragma once
/// A model as a folder that every command, and the library that the layout comes from, can open.

#include <filesystem>
#include <string>
#include <vector>

#include "vlm/data/transforms.h"
#include "vlm/models/interfaces.h"
#include "vlm/models/tuning.h"

namespace vlm {

/// Writes weights, configuration, preprocessing and tokenizer in the layout of the model's family: open_clip's for clip, siglip
/// and coca, HF's for blip and ofa (fairseq's for what HF's cannot say). `tokenizer`: a file or a folder; empty: none is written.
/// Returns what the layout could not say exactly; throws if it cannot hold the model or its preprocessing at all.
std::vector<std::string> save_model_folder(const std::filesystem::path& folder, const Model& model, const PreprocessOptions& preprocess,
                                           const std::filesystem::path& tokenizer);

/// The same for tuned parameters alone: they, preprocessing and tokenizer, and the name of their base.
std::vector<std::string> save_adapter_folder(const std::filesystem::path& folder, const Model& model, const AdapterInfo& info,
                                             const PreprocessOptions& preprocess, const std::filesystem::path& tokenizer);

}  // namespace vlm
