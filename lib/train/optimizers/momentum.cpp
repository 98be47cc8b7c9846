/// Optimisers with one moment: SGD and Lion.

#include <ATen/ops/add.h>
#include <ATen/ops/mul.h>

#include "vlm/core/error.h"
#include "vlm/train/optimizers/optimizers.h"
#include "vlm/train/optimizers/stateful.h"

namespace vlm {

namespace momentum {

class Sgd : public StatefulOptimizer {
 public:
  Sgd(std::vector<OptimizedParameter> parameters, const OptimizerOptions& options)
      : StatefulOptimizer(std::move(parameters), options.name, /*elementwise=*/true), options_(options), steps_(add_steps()) {
    if (options.momentum != 0) momentum_ = &add_moment("momentum_buffer");
  }

  void step(double lr) override {
    for_each_update(lr, [&](const Update& update) {
      const bool first = next_step(steps_[update.index]) == 1;
      Tensor direction = update.gradient;
      if (update.weight_decay != 0) direction = at::add(direction, update.value, update.weight_decay);
      if (momentum_) {
        Tensor& buffer = (*momentum_)[update.index];
        if (first) {
          buffer.copy_(direction);
        } else {
          buffer.mul_(options_.momentum).add_(direction, 1 - options_.dampening);
        }
        direction = options_.nesterov ? at::add(direction, buffer, options_.momentum) : buffer;
      }
      update.value.add_(direction, -update.lr);
    });
  }

 private:
  OptimizerOptions options_;
  std::vector<Tensor>& steps_;
  std::vector<Tensor>* momentum_ = nullptr;
};

class Lion : public StatefulOptimizer {
 public:
  Lion(std::vector<OptimizedParameter> parameters, const OptimizerOptions& options)
      : StatefulOptimizer(std::move(parameters), options.name, /*elementwise=*/true), options_(options), momentum_(add_moment("exp_avg")) {}

  void step(double lr) override {
    for_each_update(lr, [&](const Update& update) {
      Tensor& buffer = momentum_[update.index];
      if (update.weight_decay != 0) update.value.mul_(1 - update.lr * update.weight_decay);
      update.value.add_(at::mul(buffer, options_.beta1).add_(update.gradient, 1 - options_.beta1).sign_(), -update.lr);
      buffer.mul_(options_.beta2).add_(update.gradient, 1 - options_.beta2);
    });
  }

 private:
  OptimizerOptions options_;
  std::vector<Tensor>& momentum_;
};

}  // namespace momentum

std::unique_ptr<Optimizer> make_sgd(std::vector<OptimizedParameter> parameters, const OptimizerOptions& options) {
  if (!(options.momentum >= 0)) fail_usage("the optimizer's momentum is ", options.momentum, "; it must not be negative");
  if (options.nesterov && (options.momentum == 0 || options.dampening != 0)) {
    fail_usage("Nesterov's momentum needs a momentum above 0 and no dampening");
  }
  return std::make_unique<momentum::Sgd>(std::move(parameters), options);
}

std::unique_ptr<Optimizer> make_lion(std::vector<OptimizedParameter> parameters, const OptimizerOptions& options) {
  return std::make_unique<momentum::Lion>(std::move(parameters), options);
}

}  // namespace vlm
