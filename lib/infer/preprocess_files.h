#pragma once
/// Preprocessing in the files of the layouts: found for a model, and written; data/transforms.h reads the files.

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "vlm/data/transforms.h"
#include "vlm/models/model_folder.h"

namespace vlm {

/// How pictures are prepared for a model: what its folder says, else what its configuration or its arguments say, or is usual for
/// its family (OFA, whose released folders say nothing: squashed to a square, mean and deviation 0.5). Throws if nothing does.
PreprocessOptions preprocess_of(const LoadedModel& loaded);

/// open_clip's preprocess_cfg. What it cannot say exactly is told in `notes`; throws if the pictures would differ grossly.
nlohmann::ordered_json to_open_clip_preprocess(const PreprocessOptions& options, std::vector<std::string>& notes);

/// The preprocessor_config.json of HF's processor for a family ("clip", "siglip", "blip", "ofa").
nlohmann::ordered_json to_hf_preprocessor(const PreprocessOptions& options, const std::string& family,
                                          std::vector<std::string>& notes);

}  // namespace vlm
