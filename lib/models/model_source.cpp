#include "vlm/models/model_source.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "vlm/core/error.h"
#include "vlm/core/json.h"
#include "vlm/core/log.h"
#include "vlm/core/strings.h"
#include "vlm/io/atomic_file.h"
#include "vlm/io/weights.h"
#include "vlm/models/albef/config.h"
#include "vlm/models/albef/folder.h"
#include "vlm/models/architectures.h"
#include "vlm/models/bert_config_file.h"
#include "vlm/models/clip/names.h"
#include "vlm/models/fairseq_checkpoint.h"
#include "vlm/models/mplug/config.h"
#include "vlm/models/mplug/folder.h"
#include "vlm/models/names/mplug_names.h"
#include "vlm/models/names/albef_names.h"

namespace vlm {

namespace fs = std::filesystem;

namespace model_source {

constexpr const char* open_clip_config = "open_clip_config.json";
constexpr uintmax_t max_config = 10'000'000;
/// In the order in which they are looked for.
constexpr const char* open_clip_weights[] = {"open_clip_model.safetensors", "open_clip_pytorch_model.safetensors",
                                             "open_clip_pytorch_model.bin", "open_clip_pytorch_model.pth",
                                             "model.safetensors",           "model.safetensors.index.json",
                                             "pytorch_model.bin",           "pytorch_model.bin.index.json",
                                             "pytorch_model.pth",           "model.pth"};
constexpr const char* hf_weights[] = {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
                                      "pytorch_model.bin.index.json"};

/// ALBEF's released configurations name BERT's, which lies beside them.
std::string with_bert_config(const std::string& text, const fs::path& folder) {
  auto json = parse_json<nlohmann::ordered_json>(text);
  if (!json.is_object() || !json.contains("bert_config") || !json["bert_config"].is_string()) return text;
  read_named_bert_config(json, folder);
  return json.dump();
}

bool has_config(const fs::path& folder) {
  return fs::exists(folder / open_clip_config) || fs::exists(folder / "config.json") || is_mplug_folder(folder);
}

/// Weights of any other name, safetensors first. What a trainer leaves beside a model is passed over.
fs::path other_weights(const fs::path& folder) {
  std::vector<std::pair<bool, fs::path>> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string extension = entry.path().extension(), name = entry.path().filename();
    const bool pickle = extension == ".bin" || extension == ".pth" || extension == ".pt";
    if (starts_with(name, "optimizer") || starts_with(name, "training_args") || starts_with(name, "rng_state") ||
        starts_with(name, "scheduler"))
      continue;
    if (pickle || extension == ".safetensors") found.emplace_back(pickle, entry.path());
  }
  std::sort(found.begin(), found.end());
  return found.empty() ? fs::path() : found.front().second;
}

/// A checkpoint that carries its arguments; nothing if it is another file.
std::optional<ModelSource> of_fairseq(const fs::path& file, bool average) {
  auto checkpoint = read_fairseq_checkpoint(file, average);
  if (!checkpoint) return std::nullopt;
  if (checkpoint->averaged) log_info(file.string(), ": the moving average of the weights (EMA) is taken, not the last ones");
  ModelSource out;
  out.layout = "fairseq";
  out.weights = file;
  out.config = checkpoint->args.dump();
  out.config_name = file.string() + ": arguments";
  out.tensors = std::move(checkpoint->tensors);
  return out;
}

/// Arguments and weights in files of their own.
ModelSource of_fairseq_folder(const fs::path& folder, const fs::path& weights) {
  ModelSource out;
  out.layout = "fairseq";
  out.weights = weights.empty() ? folder / "model.safetensors" : weights;
  out.config_name = (folder / fairseq_args_file).string();
  out.config = read_file(out.config_name, max_config);
  out.tensors = read_weights(out.weights);
  return out;
}

ModelSource of_file(const fs::path& file, const std::string& arch) {
  ModelSource out;
  out.layout = "open_clip";
  out.weights = file;
  // Before the weights, which may be large: a name that is mistyped shows at once.
  nlohmann::ordered_json config;
  if (!arch.empty()) config = open_clip_architecture(arch);
  out.tensors = read_weights(file);
  if (out.tensors.empty()) fail(file.string(), " holds no tensors");
  if (arch.empty() && is_mplug(out.tensors)) {
    out.layout = "mplug";
    out.config_name = "shapes of " + file.filename().string();
    out.config = with_context(file.string(), [&] { return MplugConfig::from_weights(mplug_finetuned_names(out.tensors)).to_json().dump(); });
    return out;
  }
  if (arch.empty() && is_albef(out.tensors)) {
    out.layout = "hf";
    const AlbefConfig shapes = with_context(file.string(), [&] { return AlbefConfig::from_weights(out.tensors); });
    const fs::path yaml = find_albef_yaml(file.parent_path().empty() ? fs::path(".") : file.parent_path(), shapes.task);
    const AlbefConfig read = yaml.empty() ? shapes : with_context(file.string(), [&] { return read_albef_yaml(yaml, out.tensors); });
    out.config = read.to_json().dump();
    out.config_name = yaml.empty() ? "shapes of " + file.filename().string() : yaml.string();
    return out;
  }
  const bool openai = look_like_openai_weights(out.tensors);
  if (arch.empty()) {
    TensorMap names = is_hf_clip(out.tensors) ? clip_from_hf(out.tensors) : out.tensors;
    config = with_context(file.string(), [&] { return architecture_of_weights(normalize_open_clip(names, false)); });
    if (!openai)
      log_warning(file.string(),
                  ": weights do not say which GELU they were trained with; QuickGELU is taken, as for OpenAI's. Name the "
                  "architecture (--arch) if it was the exact one");
  } else if (openai && !config["model_cfg"].value("quick_gelu", false) && !config["model_cfg"].value("custom_text", false)) {
    log_warning(file.string(), ": these look like OpenAI's weights, which need QuickGELU; --arch ", arch,
                "-quickgelu has it");
  }
  out.config = config.dump();
  out.config_name = arch.empty() ? "shapes of " + file.filename().string() : "architecture " + arch;
  return out;
}

ModelSource of_folder(const fs::path& folder, const fs::path& weights) {
  ModelSource out;
  out.layout = model_folder_layout(folder);
  out.folder = folder;
  out.weights = weights.empty() ? model_weights_file(folder) : weights;
  if (out.layout == "hf" && is_albef_folder(folder)) {
    const fs::path file = out.weights;
    out = of_file(file, "");
    out.folder = folder;
    return out;
  }
  const fs::path config = folder / (out.layout == "open_clip" ? open_clip_config : out.layout == "mplug" ? "config.yaml" : "config.json");
  out.config = out.layout == "mplug" ? read_mplug_config(folder) : with_bert_config(read_file(config, max_config), folder);
  out.config_name = config.string();
  out.tensors = read_weights(out.weights);
  return out;
}

}  // namespace model_source

std::string model_folder_layout(const fs::path& folder) {
  if (!fs::exists(folder)) fail_usage("there is no model folder ", folder.string());
  if (!fs::is_directory(folder))
    fail(folder.string(), " is a file; a model folder is needed (configuration, weights, tokenizer)");
  if (fs::exists(folder / model_source::open_clip_config)) return "open_clip";
  if (fs::exists(folder / "config.json")) return "hf";
  if (is_mplug_folder(folder)) return "mplug";
  if (is_albef_folder(folder)) return "hf";
  if (fs::exists(folder / fairseq_args_file) || !find_fairseq_checkpoint(folder).empty()) return "fairseq";
  fail(folder.string(), " is no model folder: it holds neither open_clip_config.json nor config.json, nor a checkpoint of fairseq");
}

fs::path model_weights_file(const fs::path& folder) {
  const auto first = [&](const auto& names) {
    for (const char* name : names) {
      if (fs::exists(folder / name)) return folder / name;
    }
    return model_source::other_weights(folder);
  };
  const bool open_clip = fs::exists(folder / model_source::open_clip_config);
  if (const fs::path checkpoint = albef_checkpoint_in(folder); !open_clip && !checkpoint.empty() && is_albef_folder(folder)) return checkpoint;
  const bool hf = !open_clip && (fs::exists(folder / "config.json") || is_mplug_folder(folder));
  const fs::path found = hf ? first(model_source::hf_weights) : first(model_source::open_clip_weights);
  if (found.empty())
    fail(folder.string(), " holds no weights (open_clip_model.safetensors, model.safetensors, pytorch_model.bin …)");
  return found;
}

ModelSource read_model_source(const fs::path& path, const std::string& arch, bool average) {
  if (!fs::exists(path)) fail_usage("there is no model folder or weight file ", path.string());
  if (fs::is_directory(path)) {
    if (arch.empty()) {
      if (model_folder_layout(path) != "fairseq") return model_source::of_folder(path, {});
      if (fs::exists(path / fairseq_args_file)) return model_source::of_fairseq_folder(path, {});
      return *model_source::of_fairseq(find_fairseq_checkpoint(path), average);
    }
    if (model_source::has_config(path))
      fail_usage(path.string(), " has a configuration of its own; --arch is for bare weights");
    return model_source::of_file(model_weights_file(path), arch);
  }
  const fs::path folder = path.parent_path().empty() ? fs::path(".") : path.parent_path();
  if (arch.empty()) {
    if (auto checkpoint = model_source::of_fairseq(path, average)) return std::move(*checkpoint);
    if (model_source::has_config(folder)) return model_source::of_folder(folder, path);
    if (fs::exists(folder / fairseq_args_file)) return model_source::of_fairseq_folder(folder, path);
  }
  return model_source::of_file(path, arch);
}

}  // namespace vlm
