#include "vlm/train/optimizer.h"

#include "vlm/core/error.h"
#include "vlm/train/optimizers/optimizers.h"

namespace vlm {

Registry<OptimizerFactory>& optimizers() {
  static Registry<OptimizerFactory> table = [] {
    Registry<OptimizerFactory> out("optimizer");
    out.add("adamw", make_adamw);
    out.add("adam", make_adam);
    out.add("adam_fairseq", make_adam_fairseq);
    out.add("sgd", make_sgd);
    out.add("lamb", make_lamb);
    out.add("lion", make_lion);
    out.add("adafactor", make_adafactor);
    return out;
  }();
  return table;
}

std::unique_ptr<Optimizer> make_optimizer(std::vector<OptimizedParameter> parameters, const OptimizerOptions& options) {
  const auto& factory = optimizers().get(options.name);
  for (const auto& [key, beta] : {std::pair{"beta1", options.beta1}, std::pair{"beta2", options.beta2}}) {
    if (!(beta >= 0 && beta < 1)) fail_usage("the optimizer's ", key, " is ", beta, "; it must be at least 0 and less than 1");
  }
  if (!(options.eps >= 0)) fail_usage("the optimizer's eps is ", options.eps, "; it must not be negative");
  return factory(std::move(parameters), options);
}

}  // namespace vlm
