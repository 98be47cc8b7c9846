#pragma once
/// Weights of any container: safetensors, PyTorch's checkpoints (with the state dict taken out), and several files with an
/// index. Which it is follows from the bytes, never from the file's name (specs: clip, 8.3).

#include <filesystem>
#include <string>

#include "vlm/io/tensor_map.h"

namespace vlm {

enum class WeightContainer { safetensors, torch_checkpoint, index };

/// Throws an Error that says what the file is, or looks like, if it is none of the three.
WeightContainer weight_container(const std::filesystem::path& file);

struct WeightReadOptions {
  bool allow_unknown_globals = false;  ///< PyTorch's checkpoints: objects of unknown classes are passed over
};

/// The tensors of a file, or of all files that a `*.index.json` names, each from exactly the file that the index says. Of a
/// checkpoint the state dict; what training wraps around a model is taken off the names ("module.", "_orig_mod.").
/// Throws an Error that names the file, and the tensor where there is one: missing or damaged files, tensors that are
/// missing where the index says they are, tensors that stand in two files.
TensorMap read_weights(const std::filesystem::path& file, const WeightReadOptions& options = {});

/// Names without what DistributedDataParallel and torch.compile put in front. Throws if two tensors get the same name.
TensorMap without_wrappers(TensorMap weights);

}  // namespace vlm
