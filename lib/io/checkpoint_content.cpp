#include "vlm/io/checkpoint_content.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "vlm/core/error.h"
#include "vlm/io/checkpoint_path.h"
#include "vlm/io/mapped_file.h"

namespace vlm {

namespace checkpoint_content {

constexpr size_t max_depth = 1000, max_rank = 64, max_elements = size_t(1) << 31;

std::vector<int64_t> whole_numbers(const PickleTree& tree, uint32_t number, const char* what) {
  const PickleNode& node = tree.nodes[number];
  if (node.kind != PickleKind::tuple && node.kind != PickleKind::list) fail("its ", what, " is no tuple");
  if (tree.size(node) > max_rank) fail("its ", what, " has ", tree.size(node), " entries; at most ", max_rank, " are read");
  std::vector<int64_t> out;
  for (size_t i = 0; i < tree.size(node); ++i) {
    const PickleNode& entry = tree.nodes[tree.item(node, i)];
    if (entry.kind != PickleKind::integer) fail("its ", what, " holds what is no whole number");
    if (entry.integer < 0) fail("its ", what, " has the negative entry ", entry.integer);
    out.push_back(entry.integer);
  }
  return out;
}

CheckedTensor check_tensor(const TorchCheckpointContent& content, const PickleTensor& tensor) {
  const PickleTree& tree = content.tree;
  CheckedTensor out;
  const uint32_t number = tree.nodes[tensor.storage].extra;
  const PickleStorage& storage = tree.storages[number];
  if (tensor.dtype < 0 && storage.dtype < 0) fail("its storage '", storage.key, "' has no type of elements");
  out.dtype = torch_dtypes()[static_cast<size_t>(tensor.dtype < 0 ? storage.dtype : tensor.dtype)].type;
  out.size = whole_numbers(tree, tensor.size, "size");
  out.stride = whole_numbers(tree, tensor.stride, "stride");
  if (out.size.size() != out.stride.size())
    fail("its size has ", out.size.size(), " entries, its stride ", out.stride.size());
  const PickleNode& offset = tree.nodes[tensor.offset];
  if (offset.kind != PickleKind::integer) fail("its offset is no whole number");
  if (offset.integer < 0) fail("its offset is negative (", offset.integer, ")");
  out.offset = offset.integer;

  const auto bytes = content.storages.find(storage.key);
  if (bytes == content.storages.end())
    fail("its storage '", storage.key, "' is missing: the file has no data/", storage.key);
  const auto item = static_cast<int64_t>(c10::elementSize(out.dtype));
  const int64_t stored_item =
      storage.dtype < 0 ? 1
                        : static_cast<int64_t>(c10::elementSize(torch_dtypes()[static_cast<size_t>(storage.dtype)].type));
  int64_t storage_bytes = 0;
  if (__builtin_mul_overflow(storage.numel, stored_item, &storage_bytes))
    fail("its storage '", storage.key, "' has a size that overflows");
  if (static_cast<uint64_t>(storage_bytes) > bytes->second.size()) {
    fail("its storage '", storage.key, "' (data/", storage.key, ") has ", bytes->second.size(), " bytes where ",
         storage_bytes, " are needed (an interrupted download?)");
  }
  const int64_t elements = storage.view_numel * stored_item / item;
  int64_t count = 1, last = out.offset;
  for (size_t i = 0; i < out.size.size(); ++i) {
    int64_t reach = 0;
    if (__builtin_mul_overflow(count, out.size[i], &count)) fail("the product of its size overflows");
    if (out.size[i] > 0 &&
        (__builtin_mul_overflow(out.size[i] - 1, out.stride[i], &reach) || __builtin_add_overflow(last, reach, &last))) {
      fail("its stride overflows");
    }
  }
  int64_t byte_count = 0;
  if (__builtin_mul_overflow(count, item, &byte_count)) fail("its size in bytes overflows");
  if (count > 0 && last >= elements)
    fail("offset, size and stride reach element ", last, " of a storage ('", storage.key, "') with ", elements);
  if (static_cast<uint64_t>(count) > max_elements && count > elements)
    fail("its size unfolds to ", count, " elements of a storage with ", elements);
  out.storage = static_cast<int>(number);
  return out;
}

/// Of entries with the same key the last one counts, at the place of the first, as in Python.
void drop_repeated_keys(PickleTree& tree, const PickleNode& dict) {
  if (dict.extra == 0) return;
  auto& items = tree.items[dict.extra - 1];
  std::unordered_map<std::string, size_t> places;
  std::vector<uint32_t> kept;
  bool repeated = false;
  for (size_t i = 0; i < items.size(); i += 2) {
    const std::string key = static_cast<char>('0' + static_cast<int>(tree.nodes[items[i]].kind)) + key_text(tree, items[i]);
    const auto [it, fresh] = places.emplace(key, kept.size());
    if (fresh) {
      kept.push_back(items[i]);
      kept.push_back(items[i + 1]);
    } else {
      kept[it->second + 1] = items[i + 1];
      repeated = true;
    }
  }
  if (repeated) items = std::move(kept);
}

}  // namespace checkpoint_content

void check_checkpoint(TorchCheckpointContent& content) {
  using namespace checkpoint_content;
  PickleTree& tree = content.tree;
  content.tensors.resize(tree.tensors.size());
  enum : uint8_t { fresh, open, done };
  std::vector<uint8_t> state(tree.nodes.size(), fresh);
  std::vector<uint16_t> height(tree.nodes.size(), 0);
  struct Frame {
    uint32_t node;
    size_t next = 0;  ///< the child that is looked at next; the one before it is open
  };
  std::vector<Frame> frames;
  const auto path = [&] {
    std::string out;
    for (size_t i = 0; i + 1 < frames.size() && i < 50; ++i)
      out = child_path(out, tree, tree.nodes[frames[i].node], frames[i].next - 1);
    return out.empty() ? std::string("at the top") : "'" + out.substr(0, 400) + "'";
  };
  const auto step = [&](const PickleNode& node) { return node.kind == PickleKind::dict ? size_t(2) : size_t(1); };
  const auto enter = [&](uint32_t number) {
    frames.push_back({number});
    if (frames.size() > max_depth) fail("values are nested more than ", max_depth, " levels deep");
    if (state[number] == done) return;
    if (state[number] == open) fail(path(), ": the value contains itself (a cycle)");
    state[number] = open;
    const PickleNode& node = tree.nodes[number];
    if (node.kind == PickleKind::global)
      fail(path(), ": `", tree.names[node.extra].name, "` stands where a value is expected");
    if (node.kind == PickleKind::storage) fail(path(), ": a bare storage; only tensors are read");
    if (node.kind == PickleKind::dict) drop_repeated_keys(tree, node);
    if (node.kind == PickleKind::tensor) {
      with_context(concat("tensor ", path()),
                   [&] { content.tensors[node.extra] = check_tensor(content, tree.tensors[node.extra]); });
    }
  };
  enter(tree.root);
  while (!frames.empty()) {
    Frame& frame = frames.back();
    const PickleNode& node = tree.nodes[frame.node];
    if (state[frame.node] == open && frame.next * step(node) < tree.size(node)) {
      const size_t child = frame.next++;
      enter(tree.item(node, step(node) == 2 ? 2 * child + 1 : child));
      continue;
    }
    state[frame.node] = done;
    const uint16_t below = height[frame.node];
    frames.pop_back();
    if (!frames.empty()) {
      uint16_t& above = height[frames.back().node];
      above = std::max<uint16_t>(above, static_cast<uint16_t>(below + 1));
      if (above > max_depth) fail("values are nested more than ", max_depth, " levels deep");
    }
  }
}

std::shared_ptr<const char> TorchCheckpointContent::readable(const PickleStorage& storage, at::ScalarType dtype) const {
  const std::string_view bytes = storages.at(storage.key);
  const bool truth = dtype == at::ScalarType::Bool;
  const size_t item = dtype == at::ScalarType::ComplexFloat || dtype == at::ScalarType::ComplexDouble
                          ? c10::elementSize(dtype) / 2
                          : c10::elementSize(dtype);
  if (!truth && reinterpret_cast<uintptr_t>(bytes.data()) % item == 0)
    return std::shared_ptr<const char>(file, bytes.data());
  const std::lock_guard lock(mutex_);
  auto& copy = copies_[{storage.key, truth}];
  if (!copy) {
    const std::shared_ptr<char> fresh(static_cast<char*>(::operator new(std::max<size_t>(bytes.size(), 1))),
                                      [](char* p) { ::operator delete(p); });
    std::memcpy(fresh.get(), bytes.data(), bytes.size());
    // Any byte but 0 and 1 would not be a truth value for the compiler.
    if (truth)
      std::transform(fresh.get(), fresh.get() + bytes.size(), fresh.get(), [](char c) { return static_cast<char>(c != 0); });
    copy = fresh;
  }
  return copy;
}

at::Tensor TorchCheckpointContent::tensor(uint32_t number) const {
  const CheckedTensor& checked = tensors[number];
  const auto options = at::TensorOptions().dtype(checked.dtype);
  if (std::find(checked.size.begin(), checked.size.end(), 0) != checked.size.end()) return at::empty(checked.size, options);
  const PickleStorage& storage = tree.storages[static_cast<size_t>(checked.storage)];
  const auto stored_item = storage.dtype < 0 ? 1 : c10::elementSize(torch_dtypes()[static_cast<size_t>(storage.dtype)].type);
  const auto bytes = readable(storage, checked.dtype);
  char* first = const_cast<char*>(bytes.get()) + static_cast<size_t>(storage.view_offset) * stored_item +
                static_cast<size_t>(checked.offset) * c10::elementSize(checked.dtype);
  return at::from_blob(
      first, checked.size, checked.stride, [bytes](void*) {}, options);
}

}  // namespace vlm
