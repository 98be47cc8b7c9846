#pragma once
/// Checkpoints of fairseq: the arguments that a model was trained with, its weights, and their moving average where there is one
/// (specs: ofa, 2.7). Read as plain data; objects of foreign classes are refused by name.

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "vlm/io/tensor_map.h"

namespace vlm {

struct FairseqCheckpoint {
  nlohmann::ordered_json args;  ///< flat; of a nested configuration (cfg) all sections together, the model's last
  TensorMap tensors;
  bool has_average = false, averaged = false;  ///< averaged: `tensors` are the average (EMA), not the last weights
};

/// Nothing if the file is no checkpoint of PyTorch, or has no "model" with tensors beside "args" or "cfg". With `average`, the
/// average is taken where there is one; what it lacks (buffers) is the model's own.
std::optional<FairseqCheckpoint> read_fairseq_checkpoint(const std::filesystem::path& file, bool average = true);

/// The fairseq checkpoint of a folder: checkpoint_best.pt, checkpoint_last.pt, or the only one of another name; empty if there is
/// none. Throws if there are several.
std::filesystem::path find_fairseq_checkpoint(const std::filesystem::path& folder);

/// How pictures are prepared for a model with these arguments, as a preprocess_cfg of open_clip's: squashed to a square, mean and
/// deviation 0.5 or ImageNet's (specs: ofa, 4). `side`: where the arguments do not say.
nlohmann::ordered_json fairseq_preprocess_cfg(const nlohmann::ordered_json& args, int64_t side);

}  // namespace vlm
