#include "vlm/train/optimizers/stateful.h"

#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <set>

#include "vlm/core/error.h"

namespace vlm {

namespace stateful {

at::ScalarType working_type(const Tensor& parameter) { return parameter.scalar_type() == at::kDouble ? at::kDouble : at::kFloat; }

}  // namespace stateful

StatefulOptimizer::StatefulOptimizer(std::vector<OptimizedParameter> parameters, const std::string& name, bool elementwise)
    : Optimizer(std::move(parameters)), elementwise_(elementwise) {
  std::set<std::string> names;
  for (const auto& p : parameters_) {
    if (!p.parameter.defined() || !p.parameter.is_floating_point()) fail("the parameter '", p.name, "' holds no floating-point numbers");
    if (!p.parameter.is_contiguous()) fail("the parameter '", p.name, "' is not contiguous in memory, which optimizers need");
    if (!names.insert(p.name).second) fail("the parameter '", p.name, "' is given to the optimizer twice");
    if (!is_stretch(p)) continue;
    if (!elementwise) fail(name, " needs whole tensors, but was given a stretch of '", p.name, "'");
    if (p.begin < 0 || p.begin > p.end || p.end > p.parameter.numel()) {
      fail("the stretch [", p.begin, ", ", p.end, ") lies outside of '", p.name, "', which has ", p.parameter.numel(), " elements");
    }
  }
}

Tensor StatefulOptimizer::stretch_of(const OptimizedParameter& parameter, const Tensor& whole) const {
  return is_stretch(parameter) ? whole.reshape({-1}).narrow(0, parameter.begin, parameter.end - parameter.begin) : whole;
}

std::vector<Tensor>& StatefulOptimizer::add_moment(const std::string& kind) {
  auto& moments = add_state(kind, [&](const OptimizedParameter& p) {
    return at::zeros(stretch_of(p, p.parameter).sizes(), p.parameter.options().dtype(stateful::working_type(p.parameter)).requires_grad(false));
  });
  state_.at(kind).parameter_shaped = true;
  return moments;
}

std::vector<Tensor>& StatefulOptimizer::add_state(const std::string& kind, const std::function<Tensor(const OptimizedParameter&)>& make) {
  at::NoGradGuard no_grad;
  Kind& added = state_[kind];
  added.parameter_shaped = false;
  for (const auto& parameter : parameters_) added.tensors.push_back(make(parameter));
  return added.tensors;
}

std::vector<Tensor>& StatefulOptimizer::add_steps(bool beside_parameter) {
  return add_state("step", [&](const OptimizedParameter& p) {
    return at::zeros({}, at::TensorOptions(at::kFloat).device(beside_parameter ? p.parameter.device() : at::Device(at::kCPU)));
  });
}

bool StatefulOptimizer::has_update(size_t index) const {
  const auto& p = parameters_[index];
  if (!p.parameter.grad().defined()) return false;
  return is_stretch(p) ? p.end > p.begin : p.parameter.numel() > 0;
}

StatefulOptimizer::Update StatefulOptimizer::open(size_t index, double lr) const {
  const auto& p = parameters_[index];
  const auto type = stateful::working_type(p.parameter);
  const Tensor gradient = stretch_of(p, p.parameter.grad().contiguous()).to(type);
  return {index, lr * p.lr_scale * p.step_scale, p.weight_decay, stretch_of(p, p.parameter.detach()).to(type), gradient};
}

void StatefulOptimizer::close(const Update& update) const {
  const auto& p = parameters_[update.index];
  if (update.value.scalar_type() != p.parameter.scalar_type()) stretch_of(p, p.parameter.detach()).copy_(update.value);
}

void StatefulOptimizer::for_each_update(double lr, const std::function<void(const Update&)>& body) const {
  at::NoGradGuard no_grad;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (!has_update(i)) continue;
    const Update update = open(i, lr);
    body(update);
    close(update);
  }
}

TensorMap StatefulOptimizer::state() const {
  TensorMap out;
  for (const auto& [kind, entry] : state_) {
    for (size_t i = 0; i < parameters_.size(); ++i) {
      if (entry.tensors[i].defined()) out[kind + "." + parameters_[i].name] = entry.tensors[i];
    }
  }
  return out;
}

void StatefulOptimizer::load_state(const TensorMap& state) {
  at::NoGradGuard no_grad;
  // Everything is looked at before anything is changed, so that a refused state leaves the optimizer as it was.
  std::vector<std::pair<Tensor, Tensor>> copies;
  for (const auto& [kind, entry] : state_) {
    for (size_t i = 0; i < parameters_.size(); ++i) {
      const Tensor& into = entry.tensors[i];
      if (!into.defined()) continue;
      const auto& parameter = parameters_[i];
      const std::string name = kind + "." + parameter.name;
      const auto it = state.find(name);
      if (it == state.end()) fail("the optimizer's state lacks '", name, "'; was it saved by another optimizer or for another model?");
      const int64_t expected = entry.parameter_shaped ? parameter.parameter.numel() : into.numel();
      if (it->second.numel() != expected) {
        fail("the optimizer's state '", name, "' has ", it->second.numel(), " elements, not ", expected);
      }
      const Tensor source = entry.parameter_shaped ? stretch_of(parameter, it->second) : it->second;
      copies.emplace_back(into, source.reshape(into.sizes()));
    }
  }
  for (auto& [into, source] : copies) into.copy_(source);
}

double next_step(Tensor& step) {
  step.add_(1);
  return step.item<double>();
}

}  // namespace vlm
