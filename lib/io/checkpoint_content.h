#pragma once
/// What lies behind a TorchCheckpoint: the values, the bytes that tensors are views of, and the checks that bind the two.

#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "vlm/io/pickle_tree.h"

namespace vlm {

class MappedFile;

/// A tensor whose place in its storage has been checked.
struct CheckedTensor {
  int storage = -1;  ///< number in PickleTree::storages; -1: not reached from the root, so never checked
  at::ScalarType dtype = at::ScalarType::Float;
  int64_t offset = 0;  ///< elements
  std::vector<int64_t> size, stride;
};

struct TorchCheckpointContent {
  std::shared_ptr<MappedFile> file;
  PickleTree tree;
  std::map<std::string, std::string_view> storages;  ///< key -> its bytes in the file
  std::vector<CheckedTensor> tensors;                ///< as PickleTree::tensors
  bool torchscript = false, legacy = false;

  at::Tensor tensor(uint32_t number) const;

 private:
  /// Bytes that an element may be read from: those of the file where they are aligned, else a copy.
  std::shared_ptr<const char> readable(const PickleStorage& storage, at::ScalarType dtype) const;
  mutable std::mutex mutex_;
  mutable std::map<std::pair<std::string, bool>, std::shared_ptr<const char>> copies_;
};

/// Walks over all that the root holds: refuses cycles, nesting of more than 1000 levels, values that are none, keys that
/// stand twice are reduced to the last, and every tensor is checked against its storage and the storage against the file. No
/// byte of a storage is read.
void check_checkpoint(TorchCheckpointContent& content);

}  // namespace vlm
