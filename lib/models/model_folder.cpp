#include "vlm/models/model_folder.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "vlm/core/error.h"
#include "vlm/core/json.h"
#include "vlm/core/registry.h"
#include "vlm/io/atomic_file.h"
#include "vlm/io/safetensors.h"
#include "vlm/models/albef/albef.h"
#include "vlm/models/clip/clip.h"
#include "vlm/models/clip/names.h"
#include "vlm/models/blip/blip.h"
#include "vlm/models/coca/coca.h"
#include "vlm/models/fairseq_checkpoint.h"
#include "vlm/models/model_source.h"
#include "vlm/models/mplug/folder.h"
#include "vlm/models/mplug/mplug.h"
#include "vlm/models/names/albef_names.h"
#include "vlm/models/names/bert_names.h"
#include "vlm/models/names/blip_names.h"
#include "vlm/models/names/mplug_names.h"
#include "vlm/models/names/ofa_names.h"
#include "vlm/models/names/siglip_names.h"
#include "vlm/models/ofa/ofa.h"
#include "vlm/models/tuning.h"

namespace vlm {

namespace fs = std::filesystem;

namespace model_folder {

constexpr const char* open_clip_config = "open_clip_config.json";

using Factory = std::unique_ptr<Model> (*)(const Config& config);

std::unique_ptr<Model> make_clip(ClipConfig config) {
  if (config.has_multimodal) {
    config.custom_text = true;  // CoCa's text tower always lies under "text."
    return std::make_unique<CocaModel>(config);
  }
  return std::make_unique<ClipModel>(config);
}

std::unique_ptr<Model> make_clip_from(const Config& config) {
  ClipConfig clip;
  config.read(clip);
  return make_clip(clip);
}

/// SigLIP begins at a scale of 10 and a bias of -10, so that the first loss is small though nearly all pairs are negative
/// (arXiv 2303.15343, section 3.2).
std::unique_ptr<Model> make_siglip_from(const Config& config) {
  ClipConfig siglip;
  siglip.init_logit_scale = std::log(10.0);
  siglip.init_logit_bias = -10;
  config.read(siglip);
  return make_clip(siglip);
}

std::unique_ptr<Model> make_albef_from(const Config& config) {
  const auto json = config.to_json();
  AlbefConfig::check_keys(json);
  return make_albef(AlbefConfig::from_json(json.dump(), "the recipe's model"));
}

const Registry<Factory>& families() {
  static const Registry<Factory> table = [] {
    Registry<Factory> out("model family");
    for (const char* name : {"clip", "coca"}) out.add(name, make_clip_from);
    out.add("siglip", make_siglip_from);
    out.add("blip", [](const Config& config) -> std::unique_ptr<Model> {
      return make_blip(BlipConfig::from_hf(config.to_json().dump(), "the recipe's model"), {});
    });
    out.add("albef", make_albef_from);
    out.add("mplug", [](const Config& config) -> std::unique_ptr<Model> {
      const auto json = config.to_json();
      MplugConfig::check_keys(json);
      return make_mplug(MplugConfig::from_json(json.dump(), "the recipe's model"), {});
    });
    out.add("ofa", [](const Config& config) -> std::unique_ptr<Model> {
      const auto json = config.to_json();
      OfaConfig::check_keys(json);
      return std::make_unique<OfaModel>(json.contains("arch") ? OfaConfig::from_fairseq(json.dump(), "the recipe's model")
                                                              : OfaConfig::from_hf(json.dump(), "the recipe's model"));
    });
    return out;
  }();
  return table;
}

/// "clip" where an HF configuration does not say.
std::string hf_model_type(const std::string& text) {
  const auto json = parse_json(text);
  return json.is_object() && json.contains("model_type") && json["model_type"].is_string() ? json["model_type"].get<std::string>() : "clip";
}

/// mPLUG's pictures are squashed to its square; those of grounding keep their shape, are normalised by ImageNet's numbers and padded
/// with zeros (specs: mplug, 3). Nothing in its folders says so.
std::string mplug_preprocess(const MplugConfig& config) {
  const bool grounding = config.task == MplugTask::grounding;
  nlohmann::ordered_json out;
  out["model_cfg"] = nlohmann::ordered_json::object();
  auto& cfg = out["preprocess_cfg"] = {{"size", config.image_res}, {"mode", "RGB"}, {"interpolation", "bicubic"}};
  cfg["mean"] = grounding ? std::vector<double>{0.485, 0.456, 0.406} : std::vector<double>{0.48145466, 0.4578275, 0.40821073};
  cfg["std"] = grounding ? std::vector<double>{0.229, 0.224, 0.225} : std::vector<double>{0.26862954, 0.26130258, 0.27577711};
  cfg["resize_mode"] = grounding ? "longest" : "squash";
  cfg["fill_color"] = grounding ? -1 : 0;
  return out.dump();
}

/// Released configurations of ALBEF do not say what they are of; the weights do.
bool is_albef_source(const ModelSource& source) {
  if (source.layout != "hf") return false;
  const auto json = parse_json(source.config);
  return json.is_object() && (json.contains("model_type") ? json["model_type"] == "albef" : is_albef(source.tensors));
}

/// The side of the square pictures that some preprocessing makes, which may be another than the model began with; 0: no square.
int64_t square_side(const nlohmann::ordered_json& given) {
  const nlohmann::ordered_json preprocess = given.contains("preprocess_cfg") ? given["preprocess_cfg"] : given;
  const auto size = preprocess.find("size");
  if (size == preprocess.end()) return 0;
  if (size->is_number_integer()) return size->get<int64_t>();
  const bool sides = size->is_object() && size->contains("height") && size->contains("width") && (*size)["height"] == (*size)["width"];
  return sides ? (*size)["height"].get<int64_t>() : 0;
}

std::string fairseq_preprocess(const std::string& args, int64_t side) {
  const auto json = parse_json<nlohmann::ordered_json>(args);
  nlohmann::ordered_json out;
  out["model_cfg"] = nlohmann::ordered_json::object();
  out["preprocess_cfg"] = json.contains("preprocess_cfg") ? json["preprocess_cfg"] : fairseq_preprocess_cfg(json, side);
  return out.dump();
}

}  // namespace model_folder

LoadedModel load_model(const fs::path& path, const ModelLoadOptions& options) {
  if (!options.adapter.empty()) {
    ModelLoadOptions of_base = options;
    of_base.adapter.clear();
    LoadedModel out = load_model(path, of_base);
    out.model = with_adapter(*out.model, options.adapter);
    const fs::path folder = fs::is_directory(options.adapter) ? options.adapter : options.adapter.parent_path();
    if (fs::exists(folder / "preprocessor_config.json")) out.folder = folder;
    return out;
  }
  if (is_adapter(path)) {
    const fs::path folder = fs::is_directory(path) ? path : path.parent_path(), base = adapter_base(path);
    LoadedModel out = with_context("the base of " + path.string(), [&] { return load_model(base, options); });
    out.model = with_adapter(*out.model, path);
    out.folder = folder;
    return out;
  }
  ModelSource source = read_model_source(path, options.arch, options.average);
  LoadedModel out;
  out.layout = source.layout;
  out.weights = source.weights;
  out.folder = source.folder;
  if (source.folder.empty() && out.layout == "open_clip") out.open_clip_config = source.config;
  const bool of_albef = model_folder::is_albef_source(source);
  TensorMap weights = std::move(source.tensors);
  // Every weight will come from the file, or loading fails; only a file that may leave some out needs them drawn.
  std::optional<SkipInitialisation> skip;
  if (options.strict) skip.emplace();
  if (out.layout == "fairseq" || (out.layout == "hf" && model_folder::hf_model_type(source.config) == "ofa")) {
    const bool fairseq = out.layout == "fairseq";
    auto model = std::make_unique<OfaModel>(fairseq ? OfaConfig::from_fairseq(source.config, source.config_name)
                                                    : OfaConfig::from_hf(source.config, source.config_name));
    weights = with_context(out.weights.string(), [&] { return ofa_weights_for(*model, weights); });
    if (fairseq) out.open_clip_config = model_folder::fairseq_preprocess(source.config, model->picture_size().first);
    out.model = std::move(model);
  } else if (of_albef) {
    auto model = make_albef(AlbefConfig::from_json(source.config, source.config_name).fitting(weights));
    weights = with_context(out.weights.string(), [&] { return albef_weights_for(*model, weights); });
    out.model = std::move(model);
  } else if (out.layout == "hf" && model_folder::hf_model_type(source.config) == "blip") {
    if (is_original_blip(weights)) weights = blip_to_hf(weights);
    weights = without_derived_bert(weights);
    out.model = make_blip(BlipConfig::from_hf(source.config, source.config_name), weights);
  } else if (out.layout == "mplug" || (out.layout == "hf" && is_mplug_config(source.config))) {
    auto model = with_context(out.weights.string(), [&] { return make_mplug(MplugConfig::from_json(source.config, source.config_name), mplug_finetuned_names(weights)); });
    weights = with_context(out.weights.string(), [&] { return mplug_weights_for(*model, weights); });
    out.open_clip_config = model_folder::mplug_preprocess(model->architecture());
    out.model = std::move(model);
  } else {
    const ClipConfig config = out.layout == "open_clip" ? ClipConfig::from_open_clip(source.config, source.config_name)
                                                        : ClipConfig::from_hf(source.config, source.config_name);
    if (is_hf_clip(weights)) weights = clip_from_hf(weights);
    if (is_hf_siglip(weights)) weights = siglip_from_hf(weights);
    weights = normalize_open_clip(weights, config.custom_text || config.has_multimodal);
    out.model = model_folder::make_clip(config);
  }
  out.report = load_state(out.model->state(), weights, out.weights.string(), options.strict);
  return out;
}

std::unique_ptr<Model> make_model(const std::string& family, const Config& config, uint64_t seed) {
  seed_initialisation(seed);
  return model_folder::families().get(family)(config);
}

TensorMap weights_for(const Model& model, const TensorMap& weights) {
  if (const auto* albef = dynamic_cast<const AlbefModel*>(&model)) return albef_weights_for(*albef, weights);
  if (const auto* mplug = dynamic_cast<const MplugModel*>(&model)) return mplug_weights_for(*mplug, weights);
  return weights;
}

TensorMap weights_of(const Model& model) {
  TensorMap out;
  for (const auto& [name, tensor] : model.state()) out.emplace(name, tensor.detach());
  return out;
}

std::string layout_for(const Model& model) {
  if (model.family() == "blip" || model.family() == "albef" || model.family() == "mplug") return "hf";
  if (model.family() == "ofa") return model.config().contains("arch") ? "fairseq" : "hf";
  return "open_clip";
}

void save_open_clip_folder(const fs::path& folder, const Model& model, const nlohmann::ordered_json& preprocess_cfg) {
  nlohmann::ordered_json config;
  config["model_cfg"] = model.config();
  config["preprocess_cfg"] = preprocess_cfg;
  write_safetensors(folder / "open_clip_model.safetensors", weights_of(model));
  write_file_atomically(folder / model_folder::open_clip_config, config.dump(2) + "\n");
}

void save_fairseq_folder(const fs::path& folder, const Model& model, const nlohmann::ordered_json& preprocess_cfg) {
  if (model.family() != "ofa") fail("fairseq's layout has no place for a ", model.family(), " model");
  nlohmann::ordered_json args = model.config();
  if (!args.contains("arch")) args = OfaConfig::from_hf(args.dump(), "the model").to_fairseq();
  args["preprocess_cfg"] = preprocess_cfg;
  if (const int64_t side = model_folder::square_side(preprocess_cfg); side > 0) args["patch_image_size"] = side;
  write_safetensors(folder / "model.safetensors", ofa_from_hf(with_tied_ofa(weights_of(model))));
  write_file_atomically(folder / fairseq_args_file, args.dump(2) + "\n");
}

void save_hf_folder(const fs::path& folder, const Model& model, const nlohmann::ordered_json& preprocessor_config) {
  nlohmann::ordered_json config;
  if (const auto* clip = dynamic_cast<const ClipModel*>(&model)) {
    config = clip->architecture().to_hf();
    const TensorMap weights = weights_of(model);
    write_safetensors(folder / "model.safetensors", clip->architecture().is_siglip() ? siglip_to_hf(weights) : clip_to_hf(weights));
  } else if (model.family() == "ofa") {
    config = model.config();
    if (config.contains("arch")) config = OfaConfig::from_fairseq(config.dump(), "the model").to_hf();  // says what is in the way
    if (const int64_t side = model_folder::square_side(preprocessor_config); side > 0) config["patch_image_size"] = side;
    write_safetensors(folder / "model.safetensors", with_tied_ofa(weights_of(model)));
  } else if (model.family() == "mplug") {
    config = model.config();
    if (const int64_t side = model_folder::square_side(preprocessor_config); side > 0) config["image_res"] = side;
    write_safetensors(folder / "model.safetensors", with_derived_bert(weights_of(model)));
  } else if (model.family() == "albef") {
    config = model.config();  // all there is to know: what is saved in the background has no other type
    const auto architecture = AlbefConfig::from_json(config.dump(), "the model");
    write_safetensors(folder / "model.safetensors", with_second_albef_names(architecture, weights_of(model)));
  } else if (model.family() == "blip") {
    config = model.config();
    write_safetensors(folder / "model.safetensors", weights_of(model));
  } else {
    fail("HF's layout has no place for a ", model.family(), " model; write it in open_clip's");
  }
  write_file_atomically(folder / "config.json", config.dump(2) + "\n");
  if (preprocessor_config.is_object()) write_file_atomically(folder / "preprocessor_config.json", preprocessor_config.dump(2) + "\n");
}

}  // namespace vlm
