#pragma once
/// What golden cases of losses have in common: inputs with gradients, the loss run backward.

#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <map>
#include <string>

#include "vlm/golden/case.h"

namespace vlm::golden {

/// Inputs of a case as leaves. Those whose gradient the case compares require one, undefined where the case has none.
class LossInputs {
 public:
  explicit LossInputs(const Case& c) : case_(c), wanted_(c.wanted_gradients()) {}

  Tensor operator()(const std::string& name) {
    const auto known = leaves_.find(name);
    if (known != leaves_.end()) return known->second;
    if (!case_.has_in(name)) return {};
    Tensor leaf = case_.in(name).clone();
    if (std::find(wanted_.begin(), wanted_.end(), name) != wanted_.end()) leaf.requires_grad_();
    return leaves_[name] = leaf;
  }
  /// The scalar params.temperature, or the input "temp".
  Tensor temperature() {
    return case_.has_in("temp") ? (*this)("temp") : at::scalar_tensor(case_.params.at("temperature").get<double>(), at::kFloat);
  }
  /// out.loss, and the gradients of it.
  void finish(Result& result, const Tensor& loss) {
    result.set("out.loss", loss);
    if (wanted_.empty()) return;
    loss.backward();
    for (const auto& [name, leaf] : leaves_) {
      if (leaf.requires_grad()) result.set("grad." + name, leaf.grad().defined() ? leaf.grad() : at::zeros_like(leaf));
    }
  }

 private:
  const Case& case_;
  std::vector<std::string> wanted_;
  std::map<std::string, Tensor> leaves_;
};

}  // namespace vlm::golden
