#pragma once
/// Folders as the public code of ALBEF and TCL leaves them: checkpoint_XX.pth and the config.yaml of the run; or a released checkpoint
/// with that project's configs/ beside it. All of the run stands in such a file; what is the model's is taken.

#include <filesystem>

#include "vlm/models/albef/config.h"

namespace vlm {

/// Whether a folder has a config.yaml with ALBEF's keys, and no config.json.
bool is_albef_folder(const std::filesystem::path& folder);
/// Its checkpoint: checkpoint_best.pth, or the last one by name; empty if there is none.
std::filesystem::path albef_checkpoint_in(const std::filesystem::path& folder);

/// The configuration that lies beside the weights of a model for `task`: config.yaml, or the first file of the folder, else of its
/// configs/, that is called after the task (Pretrain.yaml, Retrieval_coco.yaml, VQA.yaml …). Empty if there is none.
std::filesystem::path find_albef_yaml(const std::filesystem::path& folder, AlbefTask task);

/// What the shapes of weights say (AlbefConfig::from_weights()), and from `yaml` what they do not: the size of pictures, heads, dropout,
/// ids. Throws an Error that lists the keys in which the two contradict each other. A bert_config that is a file's name is looked for
/// near `yaml` (models/bert_config_file.h); where it is not found, the weights are all that is known.
AlbefConfig read_albef_yaml(const std::filesystem::path& yaml, const TensorMap& weights);

}  // namespace vlm
