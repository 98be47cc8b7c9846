#pragma once
/// The index of weights that are cut into several files: `*.index.json` with {"weight_map": {tensor: file}} (specs:
/// clip, 9.1).

#include <filesystem>
#include <map>
#include <string>

namespace vlm {

bool is_weight_index(const std::filesystem::path& file);

/// Tensor -> its file, which lies beside the index. Throws an Error that names the index if it is not JSON, names a tensor
/// twice, or names a file that is not plainly beside it or not there.
std::map<std::string, std::filesystem::path> read_weight_index(const std::filesystem::path& index);

}  // namespace vlm
