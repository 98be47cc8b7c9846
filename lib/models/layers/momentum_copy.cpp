#include "vlm/models/layers/momentum_copy.h"

#include <c10/core/GradMode.h>

#include <set>

#include "vlm/core/error.h"

namespace vlm {

std::vector<NamedTensor> without_second_names(std::vector<NamedTensor> tensors) {
  std::set<const c10::TensorImpl*> seen;
  std::erase_if(tensors, [&](const NamedTensor& entry) { return !seen.insert(entry.tensor.unsafeGetTensorImpl()).second; });
  return tensors;
}

std::vector<MomentumTensors> paired_parameters(const torch::nn::Module& online, const torch::nn::Module& copy) {
  const auto from = without_second_names(module_parameters(online)), to = without_second_names(module_parameters(copy));
  if (from.size() != to.size()) fail("a momentum copy has ", to.size(), " parameters, its original ", from.size());
  std::vector<MomentumTensors> out;
  for (size_t i = 0; i < from.size(); ++i) {
    if (from[i].name != to[i].name || from[i].tensor.sizes() != to[i].tensor.sizes()) {
      fail("a momentum copy has ", to[i].name, " ", to[i].tensor.sizes(), " where its original has ", from[i].name, " ", from[i].tensor.sizes());
    }
    out.emplace_back(from[i].tensor, to[i].tensor);
  }
  return out;
}

void become_momentum_copy(torch::nn::Module& copy, const torch::nn::Module& online) {
  const at::NoGradGuard no_grad;
  for (auto& [original, counterpart] : paired_parameters(online, copy)) {
    counterpart.copy_(original);
    counterpart.requires_grad_(false);
  }
}

bool is_momentum_name(const std::string& name) {
  const size_t dot = name.find('.');
  return dot != std::string::npos && dot >= 2 && name.compare(dot - 2, 2, "_m") == 0;
}

}  // namespace vlm
