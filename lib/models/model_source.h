#pragma once
/// Where a model comes from: a folder in a released layout, or a bare weight file whose architecture is named, or read off
/// its shapes (specs: clip, 2.8 and 8). What is found is handed to whoever builds the model.

#include <filesystem>
#include <string>

#include "vlm/io/tensor_map.h"

namespace vlm {

struct ModelSource {
  std::string layout;            ///< "open_clip" or "hf": how `config` is written. The names of the tensors may be of either
  std::filesystem::path folder;  ///< with configuration, tokenizer and preprocessing; empty for a bare file
  std::filesystem::path weights;  ///< the file that the tensors are from
  std::string config;             ///< JSON: open_clip_config.json, or HF's config.json
  std::string config_name;        ///< for messages: the file, or "architecture ViT-B-32"
  TensorMap tensors;              ///< as they stand in the file, wrappers taken off
};

/// "open_clip", "hf", or an Error that says what was looked for.
std::string model_folder_layout(const std::filesystem::path& folder);
/// The weight file that a folder's model is read from, in the order of the layout; throws if there is none.
std::filesystem::path model_weights_file(const std::filesystem::path& folder);

/// `path`: a model folder, or a weight file of any container (io/weights.h). A file in a model folder takes the folder's
/// configuration; any other needs `arch` (models/architectures.h), or has the shapes of one of OpenAI's models.
/// Throws an Error that says what is missing.
ModelSource read_model_source(const std::filesystem::path& path, const std::string& arch = "");

}  // namespace vlm
