#include <cmath>
#include <nlohmann/json.hpp>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/io/checkpoint_content.h"
#include "vlm/io/checkpoint_path.h"
#include "vlm/io/torch_checkpoint.h"

namespace vlm {

namespace checkpoint_value {

constexpr size_t max_leaves = 2'000'000, max_path_bytes = 256'000'000;

std::string number_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return nlohmann::json(value).dump();
}

nlohmann::ordered_json real_json(double value) {
  if (std::isfinite(value)) return value;
  return {{"float", number_text(value)}};
}

std::string hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    out += "0123456789abcdef"[static_cast<unsigned char>(c) >> 4];
    out += "0123456789abcdef"[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

const char* kind_name(PickleKind kind) {
  switch (kind) {
    case PickleKind::none: return "None";
    case PickleKind::boolean: return "a truth value";
    case PickleKind::integer:
    case PickleKind::big_integer: return "a whole number";
    case PickleKind::real:
    case PickleKind::complex: return "a number";
    case PickleKind::string: return "a text";
    case PickleKind::bytes: return "bytes";
    case PickleKind::tuple:
    case PickleKind::list:
    case PickleKind::set: return "a list";
    case PickleKind::dict: return "a dict";
    case PickleKind::tensor: return "a tensor";
    default: return "another object";
  }
}

}  // namespace checkpoint_value

std::string key_text(const PickleTree& tree, uint32_t key) {
  const PickleNode& node = tree.nodes[key];
  switch (node.kind) {
    case PickleKind::none: return "None";
    case PickleKind::boolean: return node.integer ? "True" : "False";
    case PickleKind::integer: return std::to_string(node.integer);
    case PickleKind::real: return checkpoint_value::number_text(node.real);
    case PickleKind::dtype: return std::string("torch.") + torch_dtypes()[node.extra].name;
    case PickleKind::tuple: {
      std::vector<std::string> parts;
      for (size_t i = 0; i < node.span.size; ++i)
        parts.push_back(tree.nodes[tree.item(node, i)].kind == PickleKind::tuple ? "()"
                                                                                 : key_text(tree, tree.item(node, i)));
      return "(" + join(parts, ", ") + ")";
    }
    case PickleKind::string:
    case PickleKind::big_integer: return std::string(tree.text(node));
    case PickleKind::bytes:
      return valid_utf8(tree.text(node)) ? std::string(tree.text(node)) : checkpoint_value::hex(tree.text(node));
    default: return "?";
  }
}

std::string child_path(const std::string& parent, const PickleTree& tree, const PickleNode& container, size_t i) {
  if (container.kind != PickleKind::dict) return concat(parent, ".", i);
  const std::string key = key_text(tree, tree.item(container, 2 * i));
  return parent.empty() ? key : parent + "." + key;
}

const PickleNode& CheckpointValue::raw() const { return content_->tree.nodes[node_]; }
PickleKind CheckpointValue::kind() const { return raw().kind; }

bool CheckpointValue::is_container() const {
  return kind() == PickleKind::tuple || kind() == PickleKind::list || kind() == PickleKind::set ||
         kind() == PickleKind::dict;
}

size_t CheckpointValue::size() const {
  if (!is_container()) return 0;
  return content_->tree.size(raw()) / (kind() == PickleKind::dict ? 2 : 1);
}

CheckpointValue CheckpointValue::item(size_t i) const {
  if (i >= size()) fail("there is no entry ", i, " among ", size());
  return CheckpointValue(content_, content_->tree.item(raw(), kind() == PickleKind::dict ? 2 * i + 1 : i));
}

std::string CheckpointValue::key(size_t i) const {
  if (kind() != PickleKind::dict) wrong_kind("a dict");
  if (i >= size()) fail("there is no entry ", i, " among ", size());
  return key_text(content_->tree, content_->tree.item(raw(), 2 * i));
}

std::optional<CheckpointValue> CheckpointValue::find(std::string_view key) const {
  if (kind() != PickleKind::dict) return std::nullopt;
  for (size_t i = 0; i < size(); ++i) {
    const PickleNode& name = content_->tree.nodes[content_->tree.item(raw(), 2 * i)];
    if (name.kind == PickleKind::string && content_->tree.text(name) == key) return item(i);
  }
  return std::nullopt;
}

void CheckpointValue::wrong_kind(const char* wanted) const {
  fail("the checkpoint has ", checkpoint_value::kind_name(kind()), " where ", wanted, " is needed");
}

bool CheckpointValue::boolean() const {
  if (kind() != PickleKind::boolean) wrong_kind("a truth value");
  return raw().integer != 0;
}

int64_t CheckpointValue::integer() const {
  if (kind() != PickleKind::integer) wrong_kind("a whole number of 64 bits");
  return raw().integer;
}

double CheckpointValue::number() const {
  if (kind() == PickleKind::integer) return static_cast<double>(raw().integer);
  if (kind() != PickleKind::real) wrong_kind("a number");
  return raw().real;
}

std::string CheckpointValue::text() const {
  if (kind() != PickleKind::string && kind() != PickleKind::bytes) wrong_kind("a text");
  return std::string(content_->tree.text(raw()));
}

Tensor CheckpointValue::tensor() const {
  if (kind() != PickleKind::tensor) wrong_kind("a tensor");
  return content_->tensor(raw().extra);
}

CheckpointValue::TensorShape CheckpointValue::tensor_shape() const {
  if (kind() != PickleKind::tensor) wrong_kind("a tensor");
  const CheckedTensor& tensor = content_->tensors[raw().extra];
  return {tensor.dtype, tensor.size};
}

nlohmann::ordered_json CheckpointValue::to_json() const {
  const PickleTree& tree = content_->tree;
  const PickleNode& node = raw();
  switch (node.kind) {
    case PickleKind::none: return nullptr;
    case PickleKind::boolean: return node.integer != 0;
    case PickleKind::integer: return node.integer;
    case PickleKind::big_integer: return {{"int", std::string(tree.text(node))}};
    case PickleKind::real: return checkpoint_value::real_json(node.real);
    case PickleKind::complex: {
      auto parts = nlohmann::ordered_json::array();
      for (uint32_t i = 0; i < 2; ++i)
        parts.push_back(checkpoint_value::real_json(tree.nodes[tree.tuple_items[node.span.at + i]].real));
      return {{"complex", parts}};
    }
    case PickleKind::string: return std::string(tree.text(node));
    case PickleKind::bytes: return {{"bytes_hex", checkpoint_value::hex(tree.text(node))}};
    case PickleKind::dtype: return std::string("torch.") + torch_dtypes()[node.extra].name;
    case PickleKind::numpy_dtype: return "numpy." + std::string(tree.text(node));
    case PickleKind::placeholder: return {{"unsupported", tree.names[node.extra].name}};
    case PickleKind::dict: return nlohmann::ordered_json::object();
    case PickleKind::tuple:
    case PickleKind::list:
    case PickleKind::set: return nlohmann::ordered_json::array();
    default: wrong_kind("a plain value");
  }
}

std::vector<std::pair<std::string, CheckpointValue>> flatten(const CheckpointValue& value) {
  std::vector<std::pair<std::string, CheckpointValue>> out;
  struct Frame {
    CheckpointValue value;
    std::string path;
    size_t next = 0;
  };
  std::vector<Frame> frames;
  size_t visited = 0, path_bytes = 0;
  const auto enter = [&](const CheckpointValue& entered, std::string path) {
    // Shared containers are unfolded wherever they stand, which may be far more than the file holds.
    path_bytes += path.size();
    if (++visited > checkpoint_value::max_leaves || path_bytes > checkpoint_value::max_path_bytes)
      fail("the checkpoint unfolds to too many values");
    if (entered.is_container() && entered.size() > 0) {
      frames.push_back({entered, std::move(path)});
    } else {
      out.emplace_back(std::move(path), entered);
    }
  };
  enter(value, "");
  while (!frames.empty()) {
    Frame& frame = frames.back();
    if (frame.next == frame.value.size()) {
      frames.pop_back();
      continue;
    }
    const size_t i = frame.next++;
    const bool dict = frame.value.kind() == PickleKind::dict;
    const std::string part = dict ? frame.value.key(i) : std::to_string(i);
    enter(frame.value.item(i), dict && frame.path.empty() ? part : frame.path + "." + part);
  }
  return out;
}

TensorMap tensors_below(const CheckpointValue& value) {
  TensorMap out;
  for (const auto& [path, leaf] : flatten(value)) {
    if (leaf.kind() == PickleKind::tensor && !out.emplace(path, leaf.tensor()).second)
      fail("two tensors have the name '", path, "'");
  }
  return out;
}

TensorMap state_dict(const CheckpointValue& root) {
  for (const char* key : {"state_dict", "model", "module"}) {
    const auto inner = root.find(key);
    if (!inner || inner->kind() != PickleKind::dict) continue;
    TensorMap out = tensors_below(*inner);
    if (!out.empty()) return out;
  }
  return tensors_below(root);
}

}  // namespace vlm
