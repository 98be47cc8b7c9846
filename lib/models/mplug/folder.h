#pragma once
/// Folders of mPLUG as ModelScope packs them: config.yaml, the configuration of its BERT in a file that this names, the weights in
/// pytorch_model.bin, and configuration.json, which knows the task (specs: mplug, 1.6 and 1.7). Folders that this project writes hold
/// all of it in config.json.

#include <filesystem>
#include <string>

namespace vlm {

/// Whether a folder has a config.yaml with mPLUG's keys.
bool is_mplug_folder(const std::filesystem::path& folder);
/// The JSON that MplugConfig::from_json() reads. Throws an Error that names the file that is missing or broken.
std::string read_mplug_config(const std::filesystem::path& folder);
/// Whether the JSON of a config.json is mPLUG's: it says so, or has a bert_config beside an image tower of CLIP's.
bool is_mplug_config(const std::string& json);

}  // namespace vlm
