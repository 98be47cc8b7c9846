#pragma once
/// PyTorch's checkpoints (torch.save): the ZIP format since 1.6, the format before it, and TorchScript archives. They are
/// read as plain data - tensors, dicts, lists, texts, numbers - and nothing in them is run (specs: clip, 9.2).
///
///   const TorchCheckpoint checkpoint("epoch_32.pt");
///   const auto epoch = checkpoint.root().find("epoch");                  // a value, or nothing
///   const TensorMap weights = state_dict(checkpoint.root());              // what a model is loaded from

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "vlm/io/pickle_tree.h"
#include "vlm/io/tensor_map.h"

namespace vlm {

struct TorchCheckpointOptions {
  bool allow_unknown_globals = false;  ///< objects of unknown classes become placeholders instead of an error
};

struct TorchCheckpointContent;

/// One value of a checkpoint; cheap to copy, and keeps the file open.
class CheckpointValue {
 public:
  CheckpointValue(std::shared_ptr<const TorchCheckpointContent> content, uint32_t node)
      : content_(std::move(content)), node_(node) {}

  /// none, boolean, integer, big_integer, real, complex, string, bytes, tuple, list, set, dict, tensor, dtype or
  /// placeholder.
  PickleKind kind() const;
  bool is_container() const;  ///< tuple, list, set or dict (also the attributes of an argparse.Namespace)
  /// Entries of a container, 0 for all else.
  size_t size() const;
  /// The i-th item; of a dict the value of its i-th entry. Throws past the end.
  CheckpointValue item(size_t i) const;
  /// The i-th key of a dict, as text.
  std::string key(size_t i) const;
  /// The entry of a dict; nothing if there is none, or if this is no dict.
  std::optional<CheckpointValue> find(std::string_view key) const;

  // Each throws an Error if the value is of another kind.
  bool boolean() const;
  int64_t integer() const;
  double number() const;     ///< an integer or a real
  std::string text() const;  ///< a string, or bytes as they are
  /// A view of the mapped file with the strides of the file, or of a copy where the file's bytes are not aligned.
  Tensor tensor() const;

  struct TensorShape {
    at::ScalarType dtype = at::ScalarType::Float;
    std::vector<int64_t> shape;
  };
  TensorShape tensor_shape() const;

  /// What is no tensor and no container that holds something, as JSON: {"float": "inf"} and {"int": "…"} for numbers that
  /// JSON has not, {"bytes_hex": "…"}, {"complex": [re, im]}, {"unsupported": "module.Class"}, "torch.float16".
  nlohmann::ordered_json to_json() const;

 private:
  const PickleNode& raw() const;
  [[noreturn]] void wrong_kind(const char* wanted) const;

  std::shared_ptr<const TorchCheckpointContent> content_;
  uint32_t node_;
};

class TorchCheckpoint {
 public:
  /// Checks the whole structure, every tensor's place in the file included. Throws an Error that names the file, and the
  /// dotted path of the tensor where there is one.
  explicit TorchCheckpoint(const std::filesystem::path& file, const TorchCheckpointOptions& options = {});
  CheckpointValue root() const;
  bool torchscript() const;  ///< a TorchScript archive, whose code is not run: its root is a dict of the module's attributes
  bool legacy() const;       ///< written before PyTorch 1.6

 private:
  std::shared_ptr<const TorchCheckpointContent> content_;
};

/// Tensors, plain values and empty containers under their dotted paths, in the order of the file: "model.layers.0.weight".
/// Items of lists are numbered; those of a list at the top begin with a dot (".0"). Throws if shared containers unfold to
/// more than two million values.
std::vector<std::pair<std::string, CheckpointValue>> flatten(const CheckpointValue& value);

/// All tensors below a value by dotted path. Throws if two have the same one.
TensorMap tensors_below(const CheckpointValue& value);

/// The tensors that make up a model: those below "state_dict", else "model", else "module", where the top level is a dict
/// that has one of these with tensors in it; else all of them.
TensorMap state_dict(const CheckpointValue& root);

/// True if the bytes begin as one of PyTorch's formats does (by content: ZIP archive or pickle).
bool looks_like_torch_checkpoint(std::string_view bytes);

}  // namespace vlm
