#include "vlm/infer/convert.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "vlm/core/error.h"
#include "vlm/core/json.h"
#include "vlm/core/strings.h"
#include "vlm/infer/convert_fused.h"
#include "vlm/infer/convert_ofa.h"
#include "vlm/infer/preprocess_files.h"
#include "vlm/infer/tokenizer_files.h"
#include "vlm/io/atomic_file.h"
#include "vlm/io/safetensors.h"
#include "vlm/io/weight_index.h"
#include "vlm/io/weights.h"
#include "vlm/models/clip/config.h"
#include "vlm/models/clip/names.h"
#include "vlm/models/model_source.h"
#include "vlm/models/names/layouts.h"
#include "vlm/models/names/siglip_config.h"
#include "vlm/models/names/siglip_names.h"

namespace vlm {

namespace fs = std::filesystem;

namespace convert {

using Json = nlohmann::ordered_json;

constexpr uintmax_t max_config = 10'000'000;

Json parse(const std::string& text, const std::string& name) {
  auto out = parse_json<Json>(text);
  if (!out.is_object()) fail(name, ": not a JSON object");
  return out;
}

/// The family that a configuration speaks of.
std::string family_of_config(const Json& config, const std::string& layout) {
  if (layout == "hf")
    return config.contains("model_type") && config["model_type"].is_string() ? config["model_type"].get<std::string>()
                                                                             : "clip";
  const Json& model = config.contains("model_cfg") ? config["model_cfg"] : config;
  if (model.contains("multimodal_cfg")) return "coca";
  const Json vision = model.value("vision_cfg", Json::object());
  if (vision.is_object() && vision.contains("timm_model_name") && vision["timm_model_name"].is_string() &&
      vision["timm_model_name"].get<std::string>().find("siglip") != std::string::npos) {
    return "siglip";
  }
  return "clip";
}

/// mlp_ratio with the fewest digits that give the width of the MLP back.
void shorten_ratio(Json& block) {
  if (!block.contains("mlp_ratio") || !block.contains("width")) return;
  const double width = block["width"], ratio = block["mlp_ratio"];
  for (double scale = 1; scale <= 1e9; scale *= 10) {
    const double rounded = std::round(ratio * scale) / scale;
    if (static_cast<int64_t>(width * rounded) != static_cast<int64_t>(width * ratio)) continue;
    block["mlp_ratio"] = rounded;
    if (rounded == 4) block.erase("mlp_ratio");
    return;
  }
}

/// The configuration in the other layout. To add a family: a branch here, one in convert_names, one in family_of_config.
Json translated_config(const std::string& family, const Json& config, const ModelSource& source, const std::string& to,
                       const TensorMap& open_clip_weights) {
  if (family == "clip" && to == "hf") return ClipConfig::from_open_clip(config.dump(), source.config_name).to_hf();
  if (family == "clip") {
    Json model = ClipConfig::from_hf(config.dump(), source.config_name).to_open_clip();
    shorten_ratio(model["vision_cfg"]);
    shorten_ratio(model["text_cfg"]);
    return model;
  }
  if (family == "siglip")
    return to == "hf" ? siglip_config_to_hf(config, open_clip_weights) : siglip_config_to_open_clip(config);
  fail("there is no ", to, " layout for ", family, " models");
}

TensorMap open_clip_siglip(const TensorMap& weights) { return is_hf_siglip(weights) ? siglip_from_hf(weights) : weights; }

/// Weights whose architecture stands in a file of its own.
ModelSource bare_source(const fs::path& weights, const std::string& config) {
  ModelSource out;
  out.weights = weights;
  out.config = read_file(config, max_config);
  out.config_name = config;
  out.layout = parse(out.config, config).contains("model_type") ? "hf" : "open_clip";
  out.tensors = read_weights(weights);
  return out;
}

void check_target(const fs::path& source, const fs::path& target, bool force) {
  std::error_code error;
  if (fs::exists(target) && fs::equivalent(source, target, error))
    fail_usage("source and target are the same: ", target.string());
  if (fs::is_directory(target)) {
    if (!force && !fs::is_empty(target))
      fail_usage(target.string(), " is there already; --force replaces what it holds of the model");
  } else if (fs::exists(target) && !force) {
    fail_usage(target.string(), " is there already; --force replaces it");
  }
}

class Writer {
 public:
  explicit Writer(ConvertReport& report) : report_(report) {}
  void text(const fs::path& file, const std::string& content) {
    write_file_atomically(file, content);
    report_.written.push_back(file);
  }
  void weights(const fs::path& file, const TensorMap& tensors) {
    write_safetensors(file, tensors);
    report_.written.push_back(file);
    report_.tensors = static_cast<int64_t>(tensors.size());
  }

 private:
  ConvertReport& report_;
};

/// Only the container changes: names, and what lies beside the weights, stay as they are.
ConvertReport container_only(const fs::path& source, const fs::path& target) {
  ConvertReport report;
  Writer writer(report);
  report.to = "safetensors";
  if (!fs::is_directory(source)) {
    report.from = weight_container(source) == WeightContainer::safetensors ? "safetensors"
                  : weight_container(source) == WeightContainer::index     ? "index"
                                                                           : "torch";
    if (fs::is_directory(target))
      fail_usage(target.string(), " is a folder; name the file to write, as in ", (target / "model.safetensors").string());
    const TensorMap tensors = read_weights(source);
    if (tensors.empty()) fail(source.string(), " holds no tensors");
    writer.weights(target, tensors);
    return report;
  }
  report.from = model_folder_layout(source);
  if (report.from == "fairseq") fail_usage(source.string(), ": a checkpoint of fairseq carries its arguments; convert it --to hf, or name the file");
  const fs::path weights = model_weights_file(source);
  const TensorMap tensors = read_weights(weights);
  for (const auto& entry : fs::directory_iterator(source)) {
    const std::string extension = entry.path().extension(), name = entry.path().filename();
    if (!entry.is_regular_file() ||
        (extension != ".json" && extension != ".txt" && extension != ".gz" && extension != ".model" && extension != ".md" &&
         extension != ".yaml"))
      continue;
    if (!is_weight_index(entry.path())) writer.text(target / name, read_file(entry.path(), max_config * 10));
  }
  writer.weights(target / (report.from == "hf" ? "model.safetensors" : "open_clip_model.safetensors"), tensors);
  return report;
}

int64_t context_length(const Json& config) {
  const Json& model = config.contains("model_cfg") ? config["model_cfg"] : config;
  for (const auto& [section, key] :
       {std::pair{"text_cfg", "context_length"}, std::pair{"text_config", "max_position_embeddings"}}) {
    if (model.contains(section) && model[section].is_object() && model[section].contains(key) &&
        model[section][key].is_number_integer())
      return model[section][key];
  }
  return 77;
}

ConvertReport run(const fs::path& source_path, const fs::path& target, const ConvertOptions& options) {
  const std::vector<std::string> layouts = {"open_clip", "hf", "fairseq", "albef", "mplug", "safetensors"};
  if (std::find(layouts.begin(), layouts.end(), options.to) == layouts.end()) {
    fail_usage("unknown layout '", options.to, "'", did_you_mean(options.to, layouts), "; there are: ", join(layouts, ", "));
  }
  if (!fs::exists(source_path)) fail_usage("there is no ", source_path.string());
  check_target(source_path, target, options.force);
  if (options.to == "safetensors") return container_only(source_path, target);
  if (fs::exists(target) && !fs::is_directory(target))
    fail_usage(target.string(), " is a file; a model is written into a folder");

  const ModelSource source =
      options.config.empty() ? read_model_source(source_path, options.arch, options.average) : bare_source(source_path, options.config);
  if (const std::string fused = fused_family(source); !fused.empty()) {
    if (options.to != "hf" && options.to != fused) fail("there is no ", options.to, " layout for ", fused, " models");
    return convert_fused(source_path, target, options);
  }
  const Json config = parse(source.config, source.config_name);
  ConvertReport report;
  report.family = source.layout == "fairseq" ? "ofa" : family_of_config(config, source.layout);
  report.from = source.layout;
  report.to = options.to;
  const std::string named = family_of_names(source.tensors);
  if (!named.empty() && named != report.family) {
    fail(source.weights.string(), ": the weights are those of a ", named, " model, but ", source.config_name,
         " describes a ", report.family, " model");
  }
  if (report.family == "ofa" && (options.to == "hf" || options.to == "fairseq")) return convert_ofa(source, target, options);
  if (report.family == "ofa" || (options.to != "open_clip" && options.to != "hf")) fail("there is no ", options.to, " layout for ", report.family, " models");
  if (report.family != "clip" && report.family != "siglip" && report.family != "blip" && report.family != "coca") {
    fail(source.config_name, ": models of the family '", report.family,
         "' cannot be converted; clip, coca, siglip, blip, ofa, albef and mplug can");
  }
  if ((report.family == "coca" && options.to == "hf") || (report.family == "blip" && options.to == "open_clip")) {
    fail("there is no ", options.to, " layout for ", report.family, " models");
  }

  Json written_config = config;
  if (source.layout != options.to) {
    const bool sizes = report.family == "siglip" && options.to == "hf";
    written_config =
        translated_config(report.family, config, source, options.to, sizes ? open_clip_siglip(source.tensors) : TensorMap());
  } else if (options.to == "open_clip" && config.contains("model_cfg")) {
    written_config = config["model_cfg"];
  }
  // Weights, configuration and preprocessing are all translated before the first file is written.
  const TensorMap weights = with_context(source.weights.string(), [&] {
    TensorMap out = convert_names(source.tensors, has_hf_names(source.tensors) ? "hf" : "open_clip", options.to);
    if (options.to == "open_clip" && (report.family == "clip" || report.family == "coca")) {
      const Json model =
          source.layout == "open_clip" ? (config.contains("model_cfg") ? config["model_cfg"] : config) : Json::object();
      out = normalize_open_clip(out, model.value("custom_text", false));
    }
    return out;
  });
  if (report.family == "siglip" && source.layout != options.to) {
    report.notes.push_back(
        "HF computes the tanh form of GELU in the image tower, open_clip the exact one: features differ by about 1e-4");
  }

  std::optional<PreprocessOptions> preprocess;
  if (source.folder.empty()) {
    if (source.layout == "open_clip") preprocess = read_open_clip_preprocess(config);
  } else if (fs::exists(source.folder / "preprocessor_config.json") || fs::exists(source.folder / "processor_config.json") || source.layout == "open_clip") {
    preprocess = load_preprocess(source.folder);
  }
  if (preprocess && source.layout == "open_clip") {
    const Json& model = config.contains("model_cfg") ? config["model_cfg"] : config;
    // The image tower decides the size, whatever the preprocessing says.
    const Json size = model.value("vision_cfg", Json::object()).value("image_size", Json());
    if (size.is_number_integer()) preprocess->size = {size.get<int64_t>()};
    if (size.is_array()) preprocess->size = size.get<std::vector<int64_t>>();
  }
  Json preprocess_json;
  if (preprocess) {
    preprocess_json = options.to == "hf" ? to_hf_preprocessor(*preprocess, report.family, report.notes)
                                         : to_open_clip_preprocess(*preprocess, report.notes);
  } else {
    report.notes.push_back("nothing says how pictures are prepared: put a preprocessor_config.json beside the source");
  }

  const fs::path beside = source.folder.empty()
                              ? (source.weights.parent_path().empty() ? fs::path(".") : source.weights.parent_path())
                              : source.folder;
  const auto tokenizer = tokenizer_files_for(options.tokenizer.empty() ? beside : fs::path(options.tokenizer), options.to,
                                             context_length(config));
  if (tokenizer.empty()) report.notes.push_back("no tokenizer was found beside the weights; name one with --tokenizer FILE");

  Writer writer(report);
  if (options.to == "hf") {
    writer.weights(target / "model.safetensors", weights);
    writer.text(target / "config.json", written_config.dump(2) + "\n");
    if (preprocess) writer.text(target / "preprocessor_config.json", preprocess_json.dump(2) + "\n");
    const fs::path generation = source.folder / "generation_config.json";
    if (!source.folder.empty() && fs::exists(generation)) writer.text(target / "generation_config.json", read_file(generation));
    fs::remove(target / "open_clip_config.json");
  } else {
    Json both;
    both["model_cfg"] = written_config;
    if (preprocess) both["preprocess_cfg"] = preprocess_json;
    writer.weights(target / "open_clip_model.safetensors", weights);
    writer.text(target / "open_clip_config.json", both.dump(2) + "\n");
    // With --force: what another layout left would be read in place of this.
    fs::remove(target / "config.json");
    fs::remove(target / "preprocessor_config.json");
  }
  for (const auto& file : tokenizer) writer.text(target / file.name, file.content);
  return report;
}

}  // namespace convert

ConvertReport convert_model(const fs::path& source, const fs::path& target, const ConvertOptions& options) {
  try {
    return convert::run(source, target, options);
  } catch (const nlohmann::json::exception& error) {
    fail(source.string(), ": its configuration has a value of the wrong type (", error.what(), ")");
  }
}

}  // namespace vlm
