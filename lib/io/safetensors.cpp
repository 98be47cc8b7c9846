#include "vlm/io/safetensors.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/io/atomic_file.h"
#include "vlm/io/mapped_file.h"
#include "vlm/io/weight_index.h"

namespace vlm {

namespace safetensors {

constexpr uint64_t max_header = 100'000'000;

struct DType {
  const char* name;
  at::ScalarType type;
};
constexpr DType dtypes[] = {
    {"BOOL", at::ScalarType::Bool},    {"U8", at::ScalarType::Byte},       {"I8", at::ScalarType::Char},
    {"F8_E4M3", at::ScalarType::Float8_e4m3fn}, {"F8_E5M2", at::ScalarType::Float8_e5m2},
    {"I16", at::ScalarType::Short},    {"U16", at::ScalarType::UInt16},    {"F16", at::ScalarType::Half},
    {"BF16", at::ScalarType::BFloat16},{"I32", at::ScalarType::Int},       {"U32", at::ScalarType::UInt32},
    {"F32", at::ScalarType::Float},    {"I64", at::ScalarType::Long},      {"U64", at::ScalarType::UInt64},
    {"F64", at::ScalarType::Double},
};

/// Reads the header event by event: duplicate keys, depth and number types are seen before anything is built.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  std::map<std::string, TensorInfo> tensors;
  std::map<std::string, std::string> metadata;

  bool start_object(std::size_t) override {
    if (depth_ == 0) return ++depth_, true;
    if (depth_ == 1) {
      in_metadata_ = name_ == "__metadata__";
      info_ = {};
      fields_.clear();
      offsets_.clear();
      ++depth_;
      return true;
    }
    fail("tensor '", name_, "': an object where '", field_, "' has a plain value");
  }
  bool end_object() override {
    if (--depth_ == 1 && !in_metadata_) {
      if (fields_.size() != 3) fail("tensor '", name_, "' lacks dtype, shape or data_offsets");
      if (offsets_.size() != 2) fail("tensor '", name_, "': data_offsets must be two numbers, not ", offsets_.size());
      info_.begin = offsets_[0];
      info_.end = offsets_[1];
      tensors.emplace(name_, info_);
    }
    if (depth_ == 1) in_metadata_ = false;
    return true;
  }
  bool key(string_t& key) override {
    if (depth_ == 1) {
      if (!names_.insert(key).second) fail("tensor '", key, "' stands twice in the header");
      name_ = key;
    } else if (in_metadata_) {
      field_ = key;
    } else {
      field_ = key;
      if (key != "dtype" && key != "shape" && key != "data_offsets") fail("tensor '", name_, "': unknown field '", key, "'");
      if (!fields_.insert(key).second) fail("tensor '", name_, "': the field '", key, "' stands twice");
    }
    return true;
  }
  bool string(string_t& value) override {
    if (depth_ == 2 && in_metadata_ && !in_array_) {
      metadata[field_] = value;
      return true;
    }
    if (depth_ == 2 && field_ == "dtype" && !in_array_) {
      for (const auto& dtype : dtypes) {
        if (value == dtype.name) return info_.dtype = dtype.type, true;
      }
      fail("tensor '", name_, "' has the unknown dtype '", value, "'");
    }
    return wrong();
  }
  bool start_array(std::size_t) override {
    if (depth_ != 2 || in_metadata_ || in_array_ || field_ == "dtype") return wrong();
    return in_array_ = true;
  }
  bool end_array() override { return in_array_ = false, true; }
  bool number_unsigned(number_unsigned_t value) override {
    if (!in_array_) return wrong();
    if (value > uint64_t(INT64_MAX)) fail("tensor '", name_, "': ", value, " in ", field_, " is too large");
    if (field_ == "shape") {
      if (info_.shape.size() >= 64) fail("tensor '", name_, "' has more than 64 dimensions");
      info_.shape.push_back(static_cast<int64_t>(value));
    } else {
      offsets_.push_back(value);
    }
    return true;
  }
  bool number_integer(number_integer_t value) override { fail("tensor '", name_, "': negative number ", value, " in ", field_); }
  bool number_float(number_float_t, const string_t& text) override {
    fail("tensor '", name_, "': ", text, " in ", field_, " is not a whole number");
  }
  bool null() override { return wrong(); }
  bool boolean(bool) override { return wrong(); }
  bool binary(binary_t&) override { return wrong(); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    fail("the header is not valid JSON (at byte ", position, ")");
  }

 private:
  bool wrong() const {
    if (in_metadata_) fail("__metadata__ must hold texts only ('", field_, "' is not)");
    if (depth_ == 0) fail("the header is not a JSON object");
    if (depth_ == 1) fail("tensor '", name_, "' is not described by an object");
    fail("tensor '", name_, "': wrong type of value in ", field_);
  }

  int depth_ = 0;
  bool in_array_ = false, in_metadata_ = false;
  std::string name_, field_;
  std::set<std::string> names_, fields_;
  std::vector<uint64_t> offsets_;
  TensorInfo info_;
};

uint64_t byte_size(const std::string& name, const TensorInfo& info) {
  uint64_t bytes = c10::elementSize(info.dtype);
  for (const int64_t n : info.shape) {
    if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(n), &bytes)) fail("tensor '", name, "': the product of its shape overflows");
  }
  return bytes;
}

void check_layout(const std::map<std::string, TensorInfo>& tensors, uint64_t buffer) {
  std::vector<std::pair<const std::string*, const TensorInfo*>> order;
  for (const auto& [name, info] : tensors) {
    const uint64_t bytes = byte_size(name, info);
    if (info.end < info.begin) fail("tensor '", name, "': data_offsets run backwards (", info.begin, ", ", info.end, ")");
    if (info.end > buffer) fail("tensor '", name, "' reaches to byte ", info.end, " of ", buffer);
    if (info.end - info.begin != bytes) {
      fail("tensor '", name, "' has ", info.end - info.begin, " bytes where its shape and dtype need ", bytes);
    }
    order.emplace_back(&name, &info);
  }
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return std::pair(a.second->begin, a.second->end) < std::pair(b.second->begin, b.second->end);
  });
  uint64_t at = 0;
  for (const auto& [name, info] : order) {
    if (info->begin != at) fail("tensor '", *name, "' begins at byte ", info->begin, " where ", at, " was expected (a hole or an overlap)");
    at = info->end;
  }
  if (at != buffer) fail("the tensors end at byte ", at, " but the data has ", buffer);
}

}  // namespace safetensors

SafetensorsFile::SafetensorsFile(const std::filesystem::path& file) : file_(file) {
  with_context(file.string(), [&] {
    mapping_ = std::make_shared<MappedFile>(file);
    const std::string_view bytes = mapping_->bytes();
    const uint64_t size = bytes.size();
    if (size < 8) fail("not a safetensors file: ", size, " bytes, at least 8 are needed (an interrupted download?)");
    uint64_t header = 0;
    for (size_t i = 8; i-- > 0;) header = header << 8 | static_cast<unsigned char>(bytes[i]);
    if (size == 8 || bytes[8] != '{') {
      refuse_foreign_content(bytes);
      if (starts_with(bytes, "PK\x03\x04")) fail("not a safetensors file but a ZIP archive (a PyTorch checkpoint?)");
    }
    if (header > safetensors::max_header) fail("not a safetensors file: its header claims ", header, " bytes");
    if (8 + header > size) fail("the header claims ", header, " bytes, the file has ", size, " (an interrupted download?)");
    const std::string_view text = bytes.substr(8, header);
    if (text.empty() || text[0] != '{') fail("the header does not begin with '{'");
    if (!valid_utf8(text)) fail("the header is not valid UTF-8");

    safetensors::HeaderReader reader;
    nlohmann::json::sax_parse(text.begin(), text.end(), &reader);
    data_begin_ = 8 + header;
    safetensors::check_layout(reader.tensors, size - data_begin_);
    tensors_ = std::move(reader.tensors);
    metadata_ = std::move(reader.metadata);
  });
}

Tensor SafetensorsFile::tensor(const std::string& name) const {
  const auto it = tensors_.find(name);
  if (it == tensors_.end()) {
    std::vector<std::string> names;
    for (const auto& [known, info] : tensors_) names.push_back(known);
    fail(file_.string(), ": no tensor '", name, "'", did_you_mean(name, names));
  }
  const TensorInfo& info = it->second;
  char* data = mapping_->data() + data_begin_ + info.begin;
  const auto options = at::TensorOptions().dtype(info.dtype);
  if (reinterpret_cast<uintptr_t>(data) % c10::elementSize(info.dtype) != 0) {
    Tensor copy = at::empty(info.shape, options);
    std::memcpy(copy.data_ptr(), data, info.end - info.begin);
    return copy;
  }
  return at::from_blob(data, info.shape, [mapping = mapping_](void*) {}, options);
}

TensorMap read_safetensors(const std::filesystem::path& file) {
  TensorMap out;
  if (!is_weight_index(file)) {
    const SafetensorsFile tensors(file);
    for (const auto& [name, info] : tensors.tensors()) out.emplace(name, tensors.tensor(name));
    return out;
  }
  std::map<std::filesystem::path, SafetensorsFile> shards;
  for (const auto& [name, shard] : read_weight_index(file)) {
    const auto at = shards.try_emplace(shard, shard).first;
    out.emplace(name, with_context(file.string(), [&, &name = name] { return at->second.tensor(name); }));
  }
  return out;
}

void write_safetensors(const std::filesystem::path& file, const TensorMap& tensors, const std::map<std::string, std::string>& metadata) {
  std::vector<std::pair<std::string, Tensor>> order;
  for (const auto& [name, tensor] : tensors) order.emplace_back(name, tensor.detach().cpu().contiguous());
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return a.second.element_size() > b.second.element_size();
  });
  nlohmann::ordered_json header;
  header["__metadata__"] = {{"format", "pt"}};
  for (const auto& [key, value] : metadata) header["__metadata__"][key] = value;
  uint64_t at = 0;
  for (const auto& [name, tensor] : order) {
    const char* dtype = nullptr;
    for (const auto& known : safetensors::dtypes) {
      if (known.type == tensor.scalar_type()) dtype = known.name;
    }
    if (!dtype) fail("cannot write '", name, "' to ", file.string(), ": safetensors has no type for ", c10::toString(tensor.scalar_type()));
    const uint64_t end = at + tensor.nbytes();
    header[name] = {{"dtype", dtype}, {"shape", tensor.sizes().vec()}, {"data_offsets", {at, end}}};
    at = end;
  }
  std::string text = header.dump();
  while (text.size() % 8 != 0) text += ' ';
  write_file_atomically(file, [&](std::ostream& out) {
    const uint64_t size = text.size();
    char length[8];
    for (int i = 0; i < 8; ++i) length[i] = static_cast<char>(size >> (8 * i));
    out.write(length, 8);
    out.write(text.data(), static_cast<std::streamsize>(size));
    for (const auto& [name, tensor] : order) {
      out.write(static_cast<const char*>(tensor.const_data_ptr()), static_cast<std::streamsize>(tensor.nbytes()));
    }
  });
}

}  // namespace vlm
