#pragma once
/// Where a model comes from: a folder in a released layout, a fairseq checkpoint, which carries its arguments, or a bare weight
/// file whose architecture is named, or read off its shapes (specs: clip, 2.8 and 8; ofa, 2.7). What is found is handed to whoever
/// builds the model.

#include <filesystem>
#include <string>

#include "vlm/io/tensor_map.h"

namespace vlm {

struct ModelSource {
  std::string layout;            ///< "open_clip", "hf", "fairseq" or "mplug": how `config` is written. The names of the tensors may be of any
  std::filesystem::path folder;  ///< with configuration, tokenizer and preprocessing; empty for a bare file and for fairseq's
  std::filesystem::path weights;  ///< the file that the tensors are from
  std::string config;             ///< JSON: open_clip_config.json, HF's config.json, or fairseq's arguments
  std::string config_name;        ///< for messages: the file, or "architecture ViT-B-32"
  TensorMap tensors;              ///< as they stand in the file, wrappers taken off
};

/// The arguments of a model in fairseq's layout that `vlm` wrote: they lie beside its model.safetensors.
inline constexpr const char* fairseq_args_file = "fairseq_args.json";

/// "open_clip", "hf", "fairseq", "mplug", or an Error that says what was looked for.
std::string model_folder_layout(const std::filesystem::path& folder);
/// The weight file that a folder's model is read from, in the order of the layout; throws if there is none.
std::filesystem::path model_weights_file(const std::filesystem::path& folder);

/// `path`: a model folder, or a weight file of any container (io/weights.h). A file in a model folder takes the folder's
/// configuration; any other needs `arch` (models/architectures.h), has the shapes of one of OpenAI's models, or is ALBEF's, which
/// may have the YAML of its run beside it (models/albef/folder.h). `average`: of a
/// fairseq checkpoint with a moving average of the weights (EMA), that is taken. Throws an Error that says what is missing.
ModelSource read_model_source(const std::filesystem::path& path, const std::string& arch = "", bool average = true);

}  // namespace vlm
