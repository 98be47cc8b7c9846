#include "vlm/models/model_folder.h"

#include <nlohmann/json.hpp>

#include "vlm/core/error.h"
#include "vlm/core/registry.h"
#include "vlm/io/atomic_file.h"
#include "vlm/io/safetensors.h"
#include "vlm/models/clip/clip.h"
#include "vlm/models/clip/names.h"
#include "vlm/models/model_source.h"

namespace vlm {

namespace fs = std::filesystem;

namespace model_folder {

constexpr const char* open_clip_config = "open_clip_config.json";

using Factory = std::unique_ptr<Model> (*)(const Config& config);

const Registry<Factory>& families() {
  static const Registry<Factory> table = [] {
    Registry<Factory> out("model family");
    out.add("clip", [](const Config& config) -> std::unique_ptr<Model> {
      ClipConfig clip;
      config.read(clip);
      return std::make_unique<ClipModel>(clip);
    });
    return out;
  }();
  return table;
}

}  // namespace model_folder

LoadedModel load_model(const fs::path& path, const ModelLoadOptions& options) {
  ModelSource source = read_model_source(path, options.arch);
  LoadedModel out;
  out.layout = source.layout;
  out.weights = source.weights;
  out.folder = source.folder;
  if (source.folder.empty()) out.open_clip_config = source.config;
  TensorMap weights = std::move(source.tensors);
  ClipConfig config = out.layout == "open_clip" ? ClipConfig::from_open_clip(source.config, source.config_name)
                                                : ClipConfig::from_hf(source.config, source.config_name);
  if (is_hf_clip(weights)) weights = clip_from_hf(weights);
  weights = normalize_open_clip(weights, config.custom_text);
  auto model = std::make_unique<ClipModel>(config);
  out.report = load_state(model->state(), weights, out.weights.string(), options.strict);
  out.model = std::move(model);
  return out;
}

std::unique_ptr<Model> make_model(const std::string& family, const Config& config, uint64_t seed) {
  seed_initialisation(seed);
  return model_folder::families().get(family)(config);
}

TensorMap weights_of(const Model& model) {
  TensorMap out;
  for (const auto& [name, tensor] : model.state()) out.emplace(name, tensor.detach());
  return out;
}

void save_open_clip_folder(const fs::path& folder, const Model& model, const nlohmann::ordered_json& preprocess_cfg) {
  nlohmann::ordered_json config;
  config["model_cfg"] = model.config();
  config["preprocess_cfg"] = preprocess_cfg;
  write_safetensors(folder / "open_clip_model.safetensors", weights_of(model));
  write_file_atomically(folder / model_folder::open_clip_config, config.dump(2) + "\n");
}

void save_hf_folder(const fs::path& folder, const Model& model, const nlohmann::ordered_json& preprocessor_config) {
  const auto* clip = dynamic_cast<const ClipModel*>(&model);
  if (!clip) fail("only CLIP models can be written in HF's layout, not ", model.family());
  const auto config = clip->architecture().to_hf();
  write_safetensors(folder / "model.safetensors", clip_to_hf(weights_of(model)));
  write_file_atomically(folder / "config.json", config.dump(2) + "\n");
  write_file_atomically(folder / "preprocessor_config.json", preprocessor_config.dump(2) + "\n");
}

}  // namespace vlm
