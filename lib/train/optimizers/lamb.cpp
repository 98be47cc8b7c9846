#include <ATen/ops/div.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/sqrt.h>

#include <algorithm>
#include <cmath>

#include "vlm/train/gradients.h"
#include "vlm/train/optimizers/optimizers.h"
#include "vlm/train/optimizers/stateful.h"

namespace vlm {

namespace lamb {

class Lamb : public StatefulOptimizer {
 public:
  Lamb(std::vector<OptimizedParameter> parameters, const OptimizerOptions& options)
      : StatefulOptimizer(std::move(parameters), options.name, /*elementwise=*/false), options_(options),
        first_(add_moment("exp_avg")), second_(add_moment("exp_avg_sq")), steps_(add_steps()) {}

  void step(double lr) override {
    const double clip = clip_divisor();
    for_each_update(lr, [&](const Update& update) {
      const double t = next_step(steps_[update.index]);
      const Tensor gradient = clip == 1 ? update.gradient : at::div(update.gradient, clip);
      Tensor& first = first_[update.index].mul_(options_.beta1).add_(gradient, options_.grad_averaging ? 1 - options_.beta1 : 1.0);
      Tensor& second = second_[update.index].mul_(options_.beta2).addcmul_(gradient, gradient, 1 - options_.beta2);
      const double correction1 = options_.bias_correction ? 1 - std::pow(options_.beta1, t) : 1;
      const double correction2 = options_.bias_correction ? 1 - std::pow(options_.beta2, t) : 1;
      const Tensor denominator = at::sqrt(second).div_(std::sqrt(correction2)).add_(options_.eps);
      const Tensor direction = at::div(first, correction1).div_(denominator);
      if (update.weight_decay != 0) {
        if (options_.decoupled_decay) {
          update.value.mul_(1 - update.lr * update.weight_decay);
        } else {
          direction.add_(update.value, update.weight_decay);
        }
      }
      const bool adapt = update.weight_decay != 0 || options_.always_adapt;
      update.value.add_(direction, -update.lr * (adapt ? trust_ratio(update.value, direction) : 1));
    });
  }

 private:
  /// What all gradients are divided by, for a joint norm of at most max_grad_norm.
  double clip_divisor() const {
    if (options_.max_grad_norm <= 0) return 1;
    std::vector<Tensor> gradients;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      if (has_update(i)) gradients.push_back(parameters_[i].parameter.grad());
    }
    return std::max(1.0, joint_norm(gradients) / options_.max_grad_norm);
  }

  double trust_ratio(const Tensor& value, const Tensor& direction) const {
    const double value_norm = at::linalg_vector_norm(value).item<double>(), direction_norm = at::linalg_vector_norm(direction).item<double>();
    const double ratio = value_norm > 0 && direction_norm > 0 ? value_norm / direction_norm : 1;
    return options_.trust_clip ? std::min(ratio, 1.0) : ratio;
  }

  OptimizerOptions options_;
  std::vector<Tensor>&first_, &second_, &steps_;
};

}  // namespace lamb

std::unique_ptr<Optimizer> make_lamb(std::vector<OptimizedParameter> parameters, const OptimizerOptions& options) {
  return std::make_unique<lamb::Lamb>(std::move(parameters), options);
}

}  // namespace vlm
