#include "vlm/golden/mplug_case.h"

#include <ATen/ops/zeros_like.h>

#include <algorithm>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/models/state.h"

namespace vlm::golden {

MplugConfig mplug_config(const Case& c) { return MplugConfig::from_json(c.config().dump(), (c.folder / "config.json").string()); }

void load_mplug(MplugModel& model, const Case& c, const std::vector<std::string>& parts) {
  TensorMap given;
  // Copies: a step of training changes slow copies and queues in place.
  for (const auto& [name, tensor] : c.weights()) given.emplace(name, tensor.clone());
  for (const char* queue : {"image_queue", "text_queue", "idx_queue", "queue_ptr"}) {
    if (c.has_in(queue)) given.emplace(queue, c.in(queue).clone());
  }
  const auto wanted = [&](const std::string& name) {
    return parts.empty() || std::any_of(parts.begin(), parts.end(), [&](const std::string& part) { return starts_with(name, part); });
  };
  auto state = model.state();
  std::erase_if(state, [&](const NamedTensor& entry) { return !wanted(entry.name); });
  TensorMap weights;
  for (const auto& [name, tensor] : mplug_weights_for(model, given)) {
    if (wanted(name)) weights.emplace(name, tensor);
  }
  load_state(state, weights, c.folder.string());
}

Tensor MplugInputs::operator()(const std::string& name) {
  const auto known = leaves_.find(name);
  if (known != leaves_.end()) return known->second;
  if (!case_.has_in(name)) return {};
  Tensor leaf = case_.in(name).clone();
  if (case_.wants("grad." + name)) leaf.requires_grad_();
  return leaves_[name] = leaf;
}

void MplugInputs::finish(Result& result, const Tensor& loss, const MplugModel& model) {
  result.set("out.loss", loss);
  const auto names = case_.wanted_gradients();
  if (names.empty()) return;
  loss.backward();
  std::map<std::string, Tensor> known = leaves_;
  for (const auto& [name, tensor] : model.state()) known.emplace(name, tensor);
  for (std::string name : names) {
    const std::string asked = name;
    // Output layers are the tables of words under another name.
    for (const auto& [tied, own] : {std::pair<std::string, std::string>{"cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"},
                                    std::pair<std::string, std::string>{"cls.predictions.decoder.bias", "cls.predictions.bias"}}) {
      if (ends_with(name, tied) && !known.count(name)) name = name.substr(0, name.size() - tied.size()) + own;
    }
    const auto it = known.find(name);
    if (it == known.end()) fail("the case compares the gradient of ", asked, ", which the model does not have");
    result.set("grad." + asked, it->second.grad().defined() ? it->second.grad() : at::zeros_like(it->second));
  }
}

}  // namespace vlm::golden
