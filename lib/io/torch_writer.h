#pragma once
/// Checkpoints as torch.save writes them, for programs in Python: a ZIP archive with a pickle of plain data and tensors.

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "vlm/io/tensor_map.h"

namespace vlm {

/// One entry of the checkpoint's dict: plain data, or tensors by name, or several such sets by name. Tensors that share their memory
/// share it in the file.
struct TorchEntry {
  std::string key;
  nlohmann::ordered_json plain{};
  bool is_namespace = false;                 ///< `plain` is an object that Python sees as an argparse.Namespace
  TensorMap tensors{};                       ///< where there are some, in place of `plain`
  std::map<std::string, TensorMap> parts{};  ///< where there are some, in place of both
};

/// The dict of `entries`, in their order. Throws for tensors of a type that PyTorch's storages have not, and where the file would
/// need more than 4 GiB. The file appears whole or not at all.
void write_torch_checkpoint(const std::filesystem::path& file, const std::vector<TorchEntry>& entries);

}  // namespace vlm
