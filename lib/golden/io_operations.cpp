#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/golden/case.h"
#include "vlm/io/safetensors.h"
#include "vlm/io/torch_checkpoint.h"

namespace vlm::golden {

namespace io_operations {

void check_dtype(const std::string& name, at::ScalarType got, const std::string& wanted) {
  for (const auto& dtype : torch_dtypes()) {
    if (wanted == dtype.name && got == dtype.type) return;
  }
  fail("'", name, "' should be ", wanted, ", is ", c10::toString(got));
}

Result safetensors(const Case& c) {
  Result result;
  const auto file = c.file(c.params.at("file"));
  const TensorMap got = read_safetensors(file);
  const auto& wanted = c.params.at("tensors");
  if (got.size() != wanted.size()) fail("expected ", wanted.size(), " tensors, got ", got.size());
  for (const auto& [name, description] : wanted.items()) {
    const auto it = got.find(name);
    if (it == got.end()) fail("no tensor '", name, "'");
    if (it->second.sizes().vec() != description.at("shape").get<std::vector<int64_t>>())
      fail("'", name, "' has shape ", it->second.sizes());
    check_dtype(name, it->second.scalar_type(), description.at("dtype"));
    result.set("out." + name, it->second);
  }
  if (c.params.contains("metadata")) {
    const SafetensorsFile opened(file);
    if (nlohmann::json(opened.metadata()) != c.params["metadata"])
      fail("metadata differs: ", nlohmann::json(opened.metadata()).dump());
  }
  return result;
}

/// Every tensor and every plain value under its dotted path, none left out. Of a TorchScript archive only the tensors.
Result torch_checkpoint(const Case& c) {
  Result result;
  const TorchCheckpoint checkpoint(c.file(c.params.at("file")));
  const auto& tensors = c.params.at("tensors");
  const auto values = c.params.value("values", nlohmann::json::object());
  size_t found = 0;
  for (const auto& [path, leaf] : flatten(checkpoint.root())) {
    if (leaf.kind() != PickleKind::tensor) {
      if (checkpoint.torchscript()) continue;
      if (!values.contains(path)) fail("unexpected value '", path, "': ", leaf.to_json().dump());
      if (nlohmann::json(leaf.to_json()) != values[path])
        fail("'", path, "' should be ", values[path].dump(), ", is ", leaf.to_json().dump());
      ++found;
      continue;
    }
    if (!tensors.contains(path)) fail("unexpected tensor '", path, "'");
    const Tensor tensor = leaf.tensor();
    if (tensor.sizes().vec() != tensors[path].at("shape").get<std::vector<int64_t>>())
      fail("'", path, "' has shape ", tensor.sizes());
    check_dtype(path, tensor.scalar_type(), tensors[path].at("dtype"));
    result.set("out." + path, tensor);
    ++found;
  }
  if (found != tensors.size() + values.size())
    fail("expected ", tensors.size() + values.size(), " tensors and values, got ", found);
  return result;
}

/// 1 if opening throws an error that holds everything it must mention.
template <class Open>
Result refused(const Case& c, const Open& open) {
  Result result;
  try {
    open(c.file(c.params.at("file")));
  } catch (const Error& error) {
    for (const auto& mention : c.params.value("error_mentions", std::vector<std::string>{})) {
      if (ascii_lower(error.what()).find(ascii_lower(mention)) == std::string::npos)
        fail("refused, but the message lacks '", mention, "': ", error.what());
    }
    result.set("out.refused", at::ones({1}));
    return result;
  }
  result.set("out.refused", at::zeros({1}));
  return result;
}

Result safetensors_refused(const Case& c) {
  return refused(c, [](const auto& file) { read_safetensors(file); });
}

Result torch_checkpoint_refused(const Case& c) {
  return refused(c, [](const auto& file) { flatten(TorchCheckpoint(file).root()); });
}

}  // namespace io_operations

void add_io_operations(Operations& operations) {
  operations["io.safetensors"] = io_operations::safetensors;
  operations["io.safetensors_refused"] = io_operations::safetensors_refused;
  operations["io.torch_checkpoint"] = io_operations::torch_checkpoint;
  operations["io.torch_checkpoint_refused"] = io_operations::torch_checkpoint_refused;
}

}  // namespace vlm::golden
