#pragma once
/// Preprocessing written in the files of the two layouts; data/transforms.h reads them.

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "vlm/data/transforms.h"

namespace vlm {

/// open_clip's preprocess_cfg. What it cannot say exactly is told in `notes`; throws if the pictures would differ grossly.
nlohmann::ordered_json to_open_clip_preprocess(const PreprocessOptions& options, std::vector<std::string>& notes);

/// The preprocessor_config.json of HF's processor for a family ("clip", "siglip", "blip", "ofa", "mplug").
nlohmann::ordered_json to_hf_preprocessor(const PreprocessOptions& options, const std::string& family,
                                          std::vector<std::string>& notes);

}  // namespace vlm
