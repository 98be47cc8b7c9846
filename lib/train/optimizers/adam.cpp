#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/sqrt.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <map>
#include <utility>

#include "vlm/train/optimizers/optimizers.h"
#include "vlm/train/optimizers/stateful.h"

namespace vlm {

namespace adam {

/// AdamW and Adam: one call of the fused kernel for all parameters of equal learning rate and decay.
class FusedAdam : public StatefulOptimizer {
 public:
  FusedAdam(std::vector<OptimizedParameter> parameters, const OptimizerOptions& options, bool decoupled)
      : StatefulOptimizer(std::move(parameters), options.name, /*elementwise=*/true), options_(options), decoupled_(decoupled),
        first_(add_moment("exp_avg")), second_(add_moment("exp_avg_sq")), steps_(add_steps(/*beside_parameter=*/true)) {
    if (options.amsgrad) largest_ = &add_moment("max_exp_avg_sq");
  }

  void step(double lr) override {
    at::NoGradGuard no_grad;
    struct Call {
      std::vector<Update> updates;
      std::vector<Tensor> values, gradients, first, second, largest, steps;
    };
    std::map<std::tuple<double, double, at::ScalarType>, Call> calls;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      if (!has_update(i)) continue;
      Update update = open(i, lr);
      Call& call = calls[{update.lr, update.weight_decay, update.value.scalar_type()}];
      call.values.push_back(update.value);
      call.gradients.push_back(update.gradient);
      call.first.push_back(first_[i]);
      call.second.push_back(second_[i]);
      if (largest_) call.largest.push_back((*largest_)[i]);
      call.steps.push_back(steps_[i].add_(1));
      call.updates.push_back(std::move(update));
    }
    for (auto& [key, call] : calls) {
      const auto& [rate, decay, type] = key;
      if (decoupled_) {
        at::_fused_adamw_(call.values, call.gradients, call.first, call.second, call.largest, call.steps, rate, options_.beta1,
                          options_.beta2, decay, options_.eps, options_.amsgrad, /*maximize=*/false);
      } else {
        at::_fused_adam_(call.values, call.gradients, call.first, call.second, call.largest, call.steps, rate, options_.beta1,
                         options_.beta2, decay, options_.eps, options_.amsgrad, /*maximize=*/false);
      }
      for (const auto& update : call.updates) close(update);
    }
  }

 private:
  OptimizerOptions options_;
  bool decoupled_;
  std::vector<Tensor>&first_, &second_, &steps_;
  std::vector<Tensor>* largest_ = nullptr;
};

class FairseqAdam : public StatefulOptimizer {
 public:
  FairseqAdam(std::vector<OptimizedParameter> parameters, const OptimizerOptions& options)
      : StatefulOptimizer(std::move(parameters), options.name, /*elementwise=*/true), options_(options),
        first_(add_moment("exp_avg")), second_(add_moment("exp_avg_sq")), steps_(add_steps()) {
    if (options.amsgrad) largest_ = &add_moment("max_exp_avg_sq");
  }

  void step(double lr) override {
    for_each_update(lr, [&](const Update& update) {
      const double t = next_step(steps_[update.index]);
      Tensor& first = first_[update.index].mul_(options_.beta1).add_(update.gradient, 1 - options_.beta1);
      Tensor& second = second_[update.index].mul_(options_.beta2).addcmul_(update.gradient, update.gradient, 1 - options_.beta2);
      if (largest_) {
        Tensor& largest = (*largest_)[update.index];
        at::maximum_out(largest, largest, second);
      }
      const Tensor denominator = at::sqrt(largest_ ? (*largest_)[update.index] : second).add_(options_.eps);
      const double rate = update.lr * std::sqrt(1 - std::pow(options_.beta2, t)) / (1 - std::pow(options_.beta1, t));
      if (update.weight_decay != 0) update.value.mul_(1 - update.lr * update.weight_decay);
      update.value.addcdiv_(first, denominator, -rate);
    });
  }

 private:
  OptimizerOptions options_;
  std::vector<Tensor>&first_, &second_, &steps_;
  std::vector<Tensor>* largest_ = nullptr;
};

}  // namespace adam

std::unique_ptr<Optimizer> make_adamw(std::vector<OptimizedParameter> parameters, const OptimizerOptions& options) {
  return std::make_unique<adam::FusedAdam>(std::move(parameters), options, /*decoupled=*/true);
}

std::unique_ptr<Optimizer> make_adam(std::vector<OptimizedParameter> parameters, const OptimizerOptions& options) {
  return std::make_unique<adam::FusedAdam>(std::move(parameters), options, /*decoupled=*/false);
}

std::unique_ptr<Optimizer> make_adam_fairseq(std::vector<OptimizedParameter> parameters, const OptimizerOptions& options) {
  return std::make_unique<adam::FairseqAdam>(std::move(parameters), options);
}

}  // namespace vlm
