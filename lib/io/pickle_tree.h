#pragma once
/// What a pickle describes, as plain data. Values lie in one array and refer to each other by number, so that shared values
/// stay shared, cycles can be found, and any depth can be built and thrown away without recursion.

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vlm {

enum class PickleKind : uint8_t {
  none,
  boolean,
  integer,
  big_integer,
  real,
  complex,
  string,
  bytes,
  tuple,
  list,
  set,
  dict,
  tensor,
  dtype,
  placeholder,  ///< a value of a class that is not known here; its content was dropped
  global,       ///< a function or class that is known by name
  storage,      ///< numbers that tensors are views of
  numpy_dtype,
};

/// What a dict was written as. Only the first two and attributes of Python objects stand in ordinary checkpoints.
enum class DictFlavour : uint8_t { plain, ordered, attributes, script_module };

/// The functions and classes that a checkpoint may name (specs: clip, 9.2). None is ever called: each stands for a way of
/// putting plain data together.
enum class PickleGlobal : uint8_t {
  ordered_dict,
  rebuild_tensor,
  rebuild_tensor_v2,
  rebuild_tensor_v3,
  rebuild_parameter,
  storage_type,
  size,
  device,
  attributes,
  set,
  frozenset,
  list,
  dict,
  tuple,
  bytearray,
  complex,
  encode,
  numpy_scalar,
  numpy_dtype,
  script_class,
  first_argument,
  unknown,
};

struct PickleNode {
  PickleKind kind = PickleKind::none;
  uint8_t flavour = 0;  ///< DictFlavour; PickleGlobal; for texts 1 if they lie in `derived` instead of the source
  uint32_t extra = 0;   ///< list, set, dict: number of its items plus 1, 0 while empty; others: number in a table
  union {
    int64_t integer;
    double real;
    struct {
      uint32_t at, size;
    } span;  ///< texts and bytes; items of a tuple
  };
  PickleNode() : integer(0) {}
};

/// Arguments of a tensor as they stand in the file: numbers of nodes, not yet checked.
struct PickleTensor {
  uint32_t storage = 0, offset = 0, size = 0, stride = 0;
  int dtype = -1;  ///< -1: the storage's
};

struct PickleStorage {
  int dtype = -1;   ///< -1: untyped, numel counts bytes
  std::string key;  ///< decimal
  int64_t numel = 0;
  int64_t view_offset = 0,
          view_numel = 0;  ///< the part that the tensors see; files before PyTorch 0.4 have views of storages
};

struct PickleName {
  std::string name;  ///< "module.name"
  int dtype = -1;    ///< of a storage type
};

struct PickleTree {
  std::string_view source;  ///< must outlive the tree
  std::vector<PickleNode> nodes;
  std::vector<std::vector<uint32_t>> items;  ///< of lists, sets and dicts (key, value, key, value …)
  std::vector<uint32_t> tuple_items;
  std::string derived;  ///< texts that do not stand in the source as they are
  std::vector<PickleTensor> tensors;
  std::vector<PickleStorage> storages;
  std::vector<PickleName> names;  ///< of globals and placeholders
  uint32_t root = 0;

  /// The bytes of a string, of bytes, or of a big integer's decimal digits.
  std::string_view text(const PickleNode& node) const {
    return (node.flavour == 1 ? std::string_view(derived) : source).substr(node.span.at, node.span.size);
  }
  size_t size(const PickleNode& node) const;
  /// The i-th item of a tuple, list or set; of a dict keys (2 i) and values (2 i + 1).
  uint32_t item(const PickleNode& node, size_t i) const {
    return node.kind == PickleKind::tuple ? tuple_items[node.span.at + i] : items[node.extra - 1][i];
  }
};

/// Number of stored items: twice the number of entries for a dict; 0 for what is no container.
inline size_t PickleTree::size(const PickleNode& node) const {
  if (node.kind == PickleKind::tuple) return node.span.size;
  const bool mutable_container =
      node.kind == PickleKind::list || node.kind == PickleKind::set || node.kind == PickleKind::dict;
  return mutable_container && node.extra > 0 ? items[node.extra - 1].size() : 0;
}

/// Types of elements by the names that PyTorch gives them.
struct TorchDType {
  const char* name;     ///< "float32"
  const char* storage;  ///< "FloatStorage", or null where typed storages do not exist
  c10::ScalarType type;
};
const std::vector<TorchDType>& torch_dtypes();

}  // namespace vlm
