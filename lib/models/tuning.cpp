#include "vlm/models/tuning.h"

#include <nlohmann/json.hpp>

#include <algorithm>

#include "vlm/core/config_json.h"
#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/io/atomic_file.h"
#include "vlm/io/safetensors.h"
#include "vlm/models/fingerprint.h"
#include "vlm/models/layers/basic.h"
#include "vlm/models/names/ofa_names.h"
#include "vlm/models/ofa/ofa.h"
#include "vlm/models/state.h"

namespace vlm {

namespace fs = std::filesystem;

namespace tuning {

constexpr const char* description = "adapter.json";
constexpr const char* tensors = "adapter.safetensors";

const OfaModel& tunable(const Model& model) {
  const auto* ofa = dynamic_cast<const OfaModel*>(&model);
  if (!ofa) fail_usage("model.tuning: a ", model.family(), " model has no place for prompts, adapters or the choice of biases; OFA has");
  return *ofa;
}

OfaConfig tuned_config(OfaConfig config, const TuningOptions& options) {
  if (config.encoder_prompt.on || config.decoder_prompt.on || config.adapter) {
    fail_usage("model.tuning: the model has prompts or adapters already; begin with its base");
  }
  if (options.kind == "prefix") {
    if (options.stacks.empty()) fail_usage("model.tuning.stacks is empty; there are: encoder, decoder");
    if (options.length < 1 || options.hidden < 0) fail_usage("model.tuning.length must be at least 1, and hidden at least 0");
    for (const auto& stack : options.stacks) {
      if (stack != "encoder" && stack != "decoder") fail_usage("model.tuning.stacks: there is no '", stack, "'; there are: encoder, decoder");
      OfaPromptConfig& prompt = stack == "encoder" ? config.encoder_prompt : config.decoder_prompt;
      prompt.on = true;
      prompt.length = options.length;
      prompt.projection = options.projection;
      prompt.hidden = options.hidden;
    }
  } else if (options.kind == "adapter") {
    if (options.adapter_dim < 1) fail_usage("model.tuning.adapter_dim must be at least 1");
    config.adapter = true;
    config.adapter_dim = options.adapter_dim;
  } else if (options.kind != "bitfit") {
    fail_usage("model.tuning.kind: there is no '", options.kind, "'", did_you_mean(options.kind, {"prefix", "adapter", "bitfit"}),
               "; there are: prefix, adapter, bitfit");
  }
  return config;
}

bool holds(const std::string& name, const char* part) { return name.find(part) != std::string::npos; }

/// The rule is written in fairseq's names, where the norms in the middle of a layer are not called layer_norm.
bool is_bias_of_bitfit(const std::string& hf_name) {
  const std::string name = ofa_from_hf({{hf_name, Tensor()}}).begin()->first;
  return holds(name, "bias") && (holds(name, "layer_norm") || holds(name, "fc"));
}

bool is_batch_statistic(const std::string& name) {
  return ends_with(name, ".running_mean") || ends_with(name, ".running_var") || ends_with(name, ".num_batches_tracked");
}

fs::path folder_of(const fs::path& path) { return fs::is_directory(path) ? path : path.parent_path(); }

/// What is saved of a model's tensors.
bool is_saved(const std::string& name, const TuningOptions& options) {
  if (is_batch_statistic(name)) return true;
  if (options.kind == "bitfit") return is_bias_of_bitfit(name);
  if (options.kind == "adapter") return holds(name, ".adapter.") || (options.whole_model && !ends_with(name, "embed_tokens.weight"));
  return holds(name, "_prompt_encoder.");
}

}  // namespace tuning

std::unique_ptr<Model> with_tuning(const Model& base, const TuningOptions& options, uint64_t seed) {
  const OfaModel& ofa = tuning::tunable(base);
  seed_initialisation(seed);
  auto out = std::make_unique<OfaModel>(tuning::tuned_config(ofa.architecture(), options));
  TensorMap weights;
  for (const auto& [name, tensor] : base.state()) weights.emplace(name, tensor.detach());
  std::vector<NamedTensor> shared;
  for (const auto& entry : out->state()) {
    if (weights.count(entry.name)) shared.push_back(entry);
  }
  load_state(shared, weights, "the model that is tuned");
  return out;
}

std::set<std::string> tuned_parameters(const Model& model, const TuningOptions& options) {
  std::set<std::string> out;
  for (const auto& [name, tensor] : model.trainable()) {
    if (tuning::is_saved(name, options)) out.insert(name);
  }
  if (out.empty()) fail("nothing of the ", model.family(), " model is tuned by '", options.kind, "'");
  return out;
}

void save_adapter(const fs::path& folder, const Model& model, const AdapterInfo& info) {
  TensorMap tuned;
  for (const auto& [name, tensor] : model.state()) {
    if (tuning::is_saved(name, info.tuning)) tuned.emplace(name, tensor.detach());
  }
  nlohmann::ordered_json json = {{"vlm_adapter", 1}, {"family", model.family()}, {"base", info.base}, {"base_fingerprint", info.fingerprint}};
  json["tuning"] = to_json(info.tuning);
  write_safetensors(folder / tuning::tensors, tuned);
  write_file_atomically(folder / tuning::description, json.dump(2) + "\n");
}

bool is_adapter(const fs::path& path) {
  const std::string name = path.filename().string();
  if (!fs::is_directory(path) && name != tuning::description && name != tuning::tensors) return false;
  return fs::exists(tuning::folder_of(path) / tuning::description);
}

AdapterInfo read_adapter_info(const fs::path& path) {
  const fs::path file = tuning::folder_of(path) / tuning::description;
  return with_context(file.string(), [&] {
    const std::string text = read_file(file);
    const auto json = nlohmann::json::parse(text, nullptr, false);
    if (!json.is_object() || json.value("vlm_adapter", 0) != 1) fail("this is no description of tuned parameters (\"vlm_adapter\": 1)");
    AdapterInfo out;
    out.base = json.value("base", "");
    out.fingerprint = json.value("base_fingerprint", "");
    if (!json.contains("tuning") || !json["tuning"].is_object()) fail("\"tuning\" is missing");
    Config::parse(json["tuning"].dump(), file.string()).read(out.tuning);
    return out;
  });
}

fs::path adapter_base(const fs::path& path) {
  const fs::path base = read_adapter_info(path).base, beside = tuning::folder_of(path) / base;
  if (!base.empty() && fs::exists(beside)) return beside;
  if (!base.empty() && fs::exists(base)) return base;
  fail(path.string(), ": its base '", base.string(), "' is not there; name the model that it goes on top of in its ", tuning::description,
       ", or give both (--model BASE --adapter ", path.string(), ")");
}

std::unique_ptr<Model> with_adapter(const Model& base, const fs::path& path) {
  const AdapterInfo info = read_adapter_info(path);
  const fs::path file = tuning::folder_of(path) / tuning::tensors;
  if (!info.fingerprint.empty() && model_fingerprint(base) != info.fingerprint) {
    fail(file.string(), " was tuned on top of another model than this (", info.base, " as it was then)");
  }
  auto out = with_tuning(base, info.tuning);
  const TensorMap tuned = read_safetensors(file);
  std::vector<NamedTensor> filled;
  for (const auto& entry : out->state()) {
    if (tuning::is_saved(entry.name, info.tuning)) filled.push_back(entry);
  }
  load_state(filled, tuned, file.string());
  return out;
}

}  // namespace vlm
