#pragma once
/// The safetensors container: an 8-byte length, a JSON header, the tensors' bytes (little-endian, C order).
/// Files are data from strangers: every declared size is checked before it is believed (specs: clip, 9.1).

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "vlm/io/tensor_map.h"

namespace vlm {

class MappedFile;

struct TensorInfo {
  at::ScalarType dtype = at::ScalarType::Float;
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0;  ///< bytes, from the start of the data buffer
};

/// A mapped file. Tensors are views of the mapping (copy on write, so changing one never changes the file) and keep it alive.
class SafetensorsFile {
 public:
  /// Throws an Error that names the file, and the tensor where there is one, if anything is not as it must be.
  explicit SafetensorsFile(const std::filesystem::path& file);
  const std::map<std::string, TensorInfo>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  /// Throws if there is no tensor of that name.
  Tensor tensor(const std::string& name) const;

 private:
  std::filesystem::path file_;
  std::shared_ptr<MappedFile> mapping_;
  uint64_t data_begin_ = 0;
  std::map<std::string, TensorInfo> tensors_;
  std::map<std::string, std::string> metadata_;
};

/// All tensors of one file, or of all shards that a `*.index.json` names.
TensorMap read_safetensors(const std::filesystem::path& file);

/// Writes `tensors` (made contiguous, moved to the CPU), largest element type first, with the metadata {"format": "pt"}
/// and whatever is given. The file appears whole or not at all.
void write_safetensors(const std::filesystem::path& file, const TensorMap& tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace vlm
