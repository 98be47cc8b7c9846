#include "vlm/io/weights.h"

#include <map>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/io/mapped_file.h"
#include "vlm/io/safetensors.h"
#include "vlm/io/torch_checkpoint.h"
#include "vlm/io/weight_index.h"

namespace vlm {

namespace weights {

TensorMap read_one(const std::filesystem::path& file, const WeightReadOptions& options) {
  if (weight_container(file) == WeightContainer::safetensors) return read_safetensors(file);
  const TorchCheckpoint checkpoint(file, TorchCheckpointOptions{options.allow_unknown_globals});
  return with_context(file.string(), [&] { return state_dict(checkpoint.root()); });
}

TensorMap read_shards(const std::filesystem::path& index, const WeightReadOptions& options) {
  const auto places = read_weight_index(index);
  std::map<std::filesystem::path, TensorMap> shards;
  for (const auto& [name, file] : places) {
    if (!shards.count(file)) shards.emplace(file, read_one(file, options));
  }
  TensorMap out;
  for (const auto& [file, tensors] : shards) {
    for (const auto& [name, tensor] : tensors) {
      const auto place = places.find(name);
      if (place == places.end()) continue;
      if (place->second != file) {
        fail(index.string(), ": the tensor '", name, "' belongs into ", place->second.filename().string(), " but stands in ",
             file.filename().string(), " too");
      }
      out.emplace(name, tensor);
    }
  }
  for (const auto& [name, file] : places) {
    if (!out.count(name))
      fail(index.string(), ": ", file.filename().string(), " does not hold the tensor '", name,
           "' that the index places there");
  }
  return out;
}

}  // namespace weights

WeightContainer weight_container(const std::filesystem::path& file) {
  if (is_weight_index(file)) return WeightContainer::index;
  return with_context(file.string(), [&] {
    const MappedFile mapped(file);
    const std::string_view bytes = mapped.bytes();
    if (bytes.empty()) fail("the file is empty");
    if (bytes.size() > 8 && bytes[8] == '{') {
      uint64_t header = 0;
      for (size_t i = 8; i-- > 0;) header = header << 8 | static_cast<unsigned char>(bytes[i]);
      if (header <= 100'000'000) return WeightContainer::safetensors;
    }
    if (looks_like_torch_checkpoint(bytes)) return WeightContainer::torch_checkpoint;
    refuse_foreign_content(bytes);
    if (bytes.size() > 512 && bytes.substr(257, 5) == "ustar")
      fail("a tar archive, as PyTorch wrote them long ago: re-save it with a newer torch");
    fail("neither a safetensors file nor a checkpoint of PyTorch");
  });
}

TensorMap without_wrappers(TensorMap weights) {
  // What is in front of the first name is taken off all that have it; a model whose own names begin so keeps the rest.
  for (const char* wrapper : {"module.", "_orig_mod.", "module."}) {
    if (weights.empty() || !starts_with(weights.begin()->first, wrapper)) continue;
    TensorMap out;
    for (auto& [name, tensor] : weights) {
      const std::string plain = starts_with(name, wrapper) ? name.substr(std::string_view(wrapper).size()) : name;
      if (!out.emplace(plain, tensor).second)
        fail("two tensors have the name '", plain, "' once '", wrapper, "' is taken off");
    }
    weights = std::move(out);
  }
  return weights;
}

TensorMap read_weights(const std::filesystem::path& file, const WeightReadOptions& options) {
  TensorMap out = is_weight_index(file) ? weights::read_shards(file, options) : weights::read_one(file, options);
  return with_context(file.string(), [&] { return without_wrappers(std::move(out)); });
}

}  // namespace vlm
