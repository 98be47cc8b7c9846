#include "vlm/train/model_setup.h"

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "vlm/core/error.h"
#include "vlm/core/log.h"
#include "vlm/core/config_json.h"
#include "vlm/infer/pipeline.h"
#include "vlm/io/weights.h"
#include "vlm/models/fingerprint.h"
#include "vlm/models/generator.h"
#include "vlm/models/model_folder.h"
#include "vlm/models/state.h"
#include "vlm/train/parameter_groups.h"

namespace vlm {

namespace fs = std::filesystem;

namespace model_setup {

/// The name in `weights` of what a model calls `name`, or "". A CoCa's text tower lies under "text."; a CLIP's, from which it
/// may come, at the top.
std::string source_name(const TensorMap& weights, const std::string& name) {
  if (weights.count(name)) return name;
  const std::string tower = "text.";
  if (name.rfind(tower, 0) == 0 && weights.count(name.substr(tower.size()))) return name.substr(tower.size());
  return "";
}

/// A model of the recipe's architecture with the weights of another one, which may lack what `init_new` allows.
std::shared_ptr<Model> grown_from(const Model& source, const ModelRecipe& recipe, uint64_t seed) {
  std::shared_ptr<Model> model = make_model(recipe.family, recipe.config, seed);
  const TensorMap weights = weights_for(*model, weights_of(source));
  std::vector<NamedTensor> taken;
  std::vector<std::string> missing;
  TensorMap used;
  for (const auto& entry : model->state()) {
    if (const std::string source = source_name(weights, entry.name); !source.empty()) {
      taken.push_back(entry);
      used[entry.name] = weights.at(source);
    } else if (!matches_any(recipe.init_new, entry.name)) {
      missing.push_back(entry.name);
    }
  }
  if (!missing.empty()) {
    fail_usage("model.init ", recipe.init, " lacks ", missing.size(), " weights that model.init_new does not allow to be new, the first '",
               missing[0], "'");
  }
  load_state(taken, used, "model.init " + recipe.init);
  log_info("model.init: ", taken.size(), " weights from ", recipe.init, ", ", model->state().size() - taken.size(), " new; ",
           weights.size() - used.size(), " of the folder are not used");
  return model;
}

/// Parts of a new model take over what files of other networks hold (DeiT, CLIP, BERT).
void begin_parts(Model& model, const std::vector<std::string>& files) {
  std::map<std::string, std::string> whose;
  for (const auto& file : files) {
    const TensorMap given = read_weights(file), weights = weights_for(model, given);
    std::vector<NamedTensor> taken;
    TensorMap used;
    for (const auto& entry : model.state()) {
      const auto found = weights.find(entry.name);
      if (found == weights.end()) continue;
      if (const auto [before, is_new] = whose.emplace(entry.name, file); !is_new) fail_usage("model.init_parts: ", before->second, " and ", file, " both hold ", entry.name);
      taken.push_back(entry);
      used.emplace(entry.name, found->second);
    }
    if (taken.empty()) {
      fail_usage("model.init_parts: ", file, " holds no part of a ", model.family(), " model (its first tensor is ", given.empty() ? "none" : given.begin()->first,
                 "); a new ALBEF begins with a DeiT and a BERT, a new mPLUG with a CLIP and a BERT");
    }
    load_state(taken, used, "model.init_parts " + file);
    log_info("model.init_parts: ", taken.size(), " weights from ", file);
  }
}

/// Memory of their own on the device: the file that weights were mapped from may go.
void own_weights(const Model& model, const c10::Device& device) {
  at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : model.state()) {
    const Tensor there = tensor.detach().to(device);
    Tensor(tensor).set_data(there.is_same(tensor) || there.is_alias_of(tensor) ? there.clone() : there);
  }
}

/// Merges objects, all else is replaced.
void merge(nlohmann::ordered_json& into, const nlohmann::ordered_json& changes) {
  for (const auto& [key, value] : changes.items()) {
    if (value.is_object() && into.contains(key) && into[key].is_object()) {
      merge(into[key], value);
    } else {
      into[key] = value;
    }
  }
}

/// The model of a folder with other dropout, larger pictures or another task, as model.config says; its weights stay.
std::shared_ptr<Model> with_changes(std::shared_ptr<Model> base, const ModelRecipe& recipe, uint64_t seed) {
  if (recipe.config.empty()) return base;
  nlohmann::ordered_json config = base->config();
  merge(config, recipe.config.to_json());
  std::shared_ptr<Model> out = with_context("model.config", [&] { return make_model(base->family(), Config::parse(config.dump(), "model.config"), seed); });
  load_state(out->state(), with_counters_of(out->state(), weights_for(*out, weights_of(*base))), "model.init " + recipe.init + ", changed by model.config,");
  return out;
}

/// `source`: what model.init holds.
std::shared_ptr<Model> initial(std::shared_ptr<Model> source, const ModelRecipe& recipe, uint64_t seed, std::optional<AdapterInfo>& adapter) {
  if (!recipe.init_new.empty()) return grown_from(*source, recipe, seed);
  std::shared_ptr<Model> base = with_changes(std::move(source), recipe, seed);
  if (!recipe.tuning.on()) return base;
  adapter = AdapterInfo{recipe.tuning, fs::absolute(recipe.init).lexically_normal().string(), model_fingerprint(*base)};
  return with_tuning(*base, recipe.tuning, seed);
}

std::vector<NamedTensor> unfrozen(Model& model, const ModelRecipe& recipe) {
  const std::set<std::string> tuned = recipe.tuning.on() ? tuned_parameters(model, recipe.tuning) : std::set<std::string>();
  for (const auto* patterns : {&recipe.freeze, &recipe.unfreeze}) {
    for (const auto& pattern : *patterns) {
      bool used = false;
      for (const auto& entry : model.trainable()) used = used || matches_any({pattern}, entry.name);
      if (!used) fail_usage(patterns == &recipe.freeze ? "model.freeze" : "model.unfreeze", ": no parameter matches '", pattern,
                            "' (the first one is called '", model.trainable().at(0).name, "')");
    }
  }
  std::vector<NamedTensor> out;
  for (auto& entry : model.trainable()) {
    const bool chosen = tuned.empty() || tuned.count(entry.name) > 0;
    const bool frozen = !chosen || (matches_any(recipe.freeze, entry.name) && !matches_any(recipe.unfreeze, entry.name));
    Tensor(entry.tensor).set_requires_grad(!frozen);
    if (!frozen) out.push_back(entry);
  }
  if (out.empty()) fail_usage("model.freeze leaves nothing to train");
  return out;
}

}  // namespace model_setup

WeightsOnCpu::WeightsOnCpu(const Model& model) {
  at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : model.state()) {
    if (tensor.is_cpu()) continue;
    moved_.emplace_back(tensor, tensor.detach());
    Tensor(tensor).set_data(tensor.detach().cpu());
  }
}

WeightsOnCpu::~WeightsOnCpu() {
  for (auto& [tensor, data] : moved_) tensor.set_data(data);
}

void fill_weights(const Model& model, const TensorMap& weights) {
  at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : model.state()) {
    const auto it = weights.find(name);
    if (it == weights.end()) fail("the weight '", name, "' is missing");
    if (it->second.sizes() != tensor.sizes()) fail("the weight '", name, "' has shape ", it->second.sizes(), ", the model needs ", tensor.sizes());
    Tensor(tensor).copy_(it->second);
  }
}

ModelSetup set_up_model(const Recipe& recipe, const c10::Device& device) {
  const ModelRecipe& model = recipe.model;
  const auto seed = static_cast<uint64_t>(recipe.train.seed);
  ModelSetup out;
  out.preprocess = recipe.data.preprocess;
  out.tokenizer_path = model.tokenizer;
  if (model.tuning.on() && (model.init.empty() || !model.init_new.empty())) {
    fail_usage("model.tuning trains a few parameters on top of model.init, which ", model.init.empty() ? "is missing" : "cannot grow (init_new) at the same time");
  }
  if (model.init.empty()) {
    if (out.tokenizer_path.empty()) fail_usage("model.tokenizer is missing: a new model needs a vocabulary (make one with 'vlm tokenizer train')");
    out.model = with_context("model.config", [&] { return make_model(model.family, model.config, seed); });
    model_setup::begin_parts(*out.model, model.init_parts);
  } else {
    if (!model.init_parts.empty()) fail_usage("model.init_parts is for new models; model.init ", model.init, " gives all weights already");
    LoadedModel loaded = load_model(model.init);
    // A checkpoint's tokenizer lies beside it.
    const bool checkpoint = loaded.layout == "fairseq" && !fs::is_directory(model.init);
    if (out.tokenizer_path.empty()) out.tokenizer_path = checkpoint ? fs::absolute(model.init).parent_path() : fs::path(model.init);
    // A folder's own preprocessing holds unless the recipe has one.
    const bool said = to_json(recipe.data.preprocess) != to_json(PreprocessOptions());
    if (!said && (fs::is_directory(model.init) || checkpoint)) out.preprocess = find_preprocess(loaded);
    out.model = model_setup::initial(std::move(loaded.model), model, seed, out.adapter);
  }
  model_setup::own_weights(*out.model, device);
  out.tokenizer = load_tokenizer(out.tokenizer_path);
  out.trained = model_setup::unfrozen(*out.model, model);
  if (recipe.train.recompute && !out.model->set_recompute(true)) {
    fail_usage("train.recompute: a ", out.model->family(), " model cannot compute its activations again");
  }
  return out;
}

}  // namespace vlm
