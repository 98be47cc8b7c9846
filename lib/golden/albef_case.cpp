#include "vlm/golden/albef_case.h"

#include <ATen/ops/zeros_like.h>

#include <algorithm>

#include "vlm/core/strings.h"
#include "vlm/models/names/albef_names.h"
#include "vlm/models/state.h"

namespace vlm::golden {

namespace albef_case {

/// Second names of tied tensors, as a case may ask for either.
std::string first_name(const std::string& name) {
  for (const auto& [second, first] : {std::pair("cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"),
                                      std::pair("cls.predictions.decoder.bias", "cls.predictions.bias")}) {
    if (ends_with(name, second)) return name.substr(0, name.size() - std::string(second).size()) + first;
  }
  return name;
}

}  // namespace albef_case

AlbefConfig albef_config(const Case& c, AlbefTask task) {
  AlbefConfig config = AlbefConfig::from_json(c.config().dump(), (c.folder / "config.json").string());
  config.task = task;
  config = config.fitting(c.weights());
  config.task = task;
  return config;
}

std::unique_ptr<AlbefModel> albef_model(const Case& c, AlbefTask task, const std::vector<std::string>& absent) {
  const AlbefConfig config = albef_config(c, task);
  auto model = make_albef(config);
  std::vector<NamedTensor> state = model->state();
  const TensorMap weights = albef_weights_for(*model, c.weights());
  std::erase_if(state, [&](const NamedTensor& entry) {
    return !weights.count(entry.name) && std::any_of(absent.begin(), absent.end(), [&](const auto& prefix) { return starts_with(entry.name, prefix); });
  });
  TensorMap own;
  for (const auto& [name, tensor] : state) {
    if (const auto found = weights.find(name); found != weights.end()) own.emplace(name, found->second.clone());
  }
  load_state(state, own, c.folder.string());
  return model;
}

Tensor wanted_leaf(const Case& c, const std::string& name) {
  Tensor leaf = c.in(name).clone();
  return c.wants("grad." + name) ? leaf.requires_grad_() : leaf;
}

void set_model_results(Result& result, const Case& c, const std::vector<NamedTensor>& weights, const std::map<std::string, Tensor>& leaves) {
  std::map<std::string, Tensor> all = leaves;
  for (const auto& [name, tensor] : weights) all.emplace(name, tensor);
  for (const auto& [output, tolerance] : c.outputs.items()) {
    const bool gradient = starts_with(output, "grad."), state = starts_with(output, "out.state.");
    if (!gradient && !state) continue;
    const auto found = all.find(albef_case::first_name(output.substr(gradient ? 5 : 10)));
    if (found == all.end()) continue;
    const Tensor& tensor = found->second;
    if (state) result.set(output, tensor.detach());
    if (gradient) result.set(output, tensor.grad().defined() ? tensor.grad() : at::zeros_like(tensor));
  }
}

}  // namespace vlm::golden
