#pragma once
/// Momentum copies of a model's parts (MoCo, arXiv 1911.05722; ALBEF, arXiv 2107.07651): NAME_m beside NAME. They are plain copies at
/// first, learn nothing themselves, and follow the original when train/momentum.h says so.

#include <torch/nn/module.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "vlm/models/layers/basic.h"

namespace vlm {

/// A parameter and its counterpart in the copy.
using MomentumTensors = std::pair<Tensor, Tensor>;

/// Parameters of two modules that are made alike, pair by pair; a tensor that has two names appears once. Throws if they differ.
std::vector<MomentumTensors> paired_parameters(const torch::nn::Module& online, const torch::nn::Module& copy);
/// Gives `copy` the values of `online`, and takes its parameters out of every gradient.
void become_momentum_copy(torch::nn::Module& copy, const torch::nn::Module& online);
/// The tensors without those whose memory an earlier one has under another name.
std::vector<NamedTensor> without_second_names(std::vector<NamedTensor> tensors);
/// "visual_encoder_m.norm.weight": whether a name belongs to a momentum copy.
bool is_momentum_name(const std::string& name);

/// A copy of `online`, made by the same arguments.
template <class Module, class... Args>
std::shared_ptr<Module> make_momentum_copy(const Module& online, const Args&... args) {
  std::shared_ptr<Module> copy;
  {
    const SkipInitialisation skip;
    copy = std::make_shared<Module>(args...);
  }
  become_momentum_copy(*copy, online);
  return copy;
}

/// Models with momentum copies.
class MomentumTaught {
 public:
  virtual ~MomentumTaught() = default;
  /// Empty for a model without copies.
  virtual std::vector<MomentumTensors> momentum_tensors() const = 0;
};

}  // namespace vlm
