#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/golden/case.h"
#include "vlm/io/safetensors.h"

namespace vlm::golden {

namespace io_operations {

Result safetensors(const Case& c) {
  Result result;
  const auto file = c.file(c.params.at("file"));
  const TensorMap got = read_safetensors(file);
  const auto& wanted = c.params.at("tensors");
  if (got.size() != wanted.size()) fail("expected ", wanted.size(), " tensors, got ", got.size());
  for (const auto& [name, description] : wanted.items()) {
    const auto it = got.find(name);
    if (it == got.end()) fail("no tensor '", name, "'");
    if (it->second.sizes().vec() != description.at("shape").get<std::vector<int64_t>>()) fail("'", name, "' has shape ", it->second.sizes());
    static const std::map<std::string, at::ScalarType> dtypes = {
        {"float32", at::kFloat}, {"float16", at::kHalf},  {"bfloat16", at::kBFloat16}, {"float64", at::kDouble},
        {"int64", at::kLong},    {"int32", at::kInt},     {"int16", at::kShort},       {"int8", at::kChar},
        {"uint8", at::kByte},    {"bool", at::kBool},     {"uint16", at::kUInt16},     {"uint32", at::kUInt32},
        {"uint64", at::kUInt64}, {"float8_e4m3fn", at::kFloat8_e4m3fn}, {"float8_e5m2", at::kFloat8_e5m2}};
    const std::string dtype = description.at("dtype");
    if (!dtypes.count(dtype) || dtypes.at(dtype) != it->second.scalar_type()) {
      fail("'", name, "' should be ", dtype, ", is ", c10::toString(it->second.scalar_type()));
    }
    result.set("out." + name, it->second);
  }
  if (c.params.contains("metadata")) {
    const SafetensorsFile opened(file);
    if (nlohmann::json(opened.metadata()) != c.params["metadata"]) fail("metadata differs: ", nlohmann::json(opened.metadata()).dump());
  }
  return result;
}

/// 1 if opening throws an error that holds everything it must mention.
Result refused(const Case& c) {
  Result result;
  try {
    read_safetensors(c.file(c.params.at("file")));
  } catch (const Error& error) {
    for (const auto& mention : c.params.value("error_mentions", std::vector<std::string>{})) {
      if (ascii_lower(error.what()).find(ascii_lower(mention)) == std::string::npos) fail("refused, but the message lacks '", mention, "': ", error.what());
    }
    result.set("out.refused", at::ones({1}));
    return result;
  }
  result.set("out.refused", at::zeros({1}));
  return result;
}

}  // namespace io_operations

void add_io_operations(Operations& operations) {
  operations["io.safetensors"] = io_operations::safetensors;
  operations["io.safetensors_refused"] = io_operations::refused;
}

}  // namespace vlm::golden
