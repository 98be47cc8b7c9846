#include <ATen/ops/tensor.h>

#include <c10/core/GradMode.h>

#include <cmath>

#include "vlm/golden/case.h"
#include "vlm/train/gradients.h"
#include "vlm/train/optimizer.h"
#include "vlm/train/parameter_groups.h"
#include "vlm/train/schedule.h"

namespace vlm::golden {

namespace train_operations {

Result adamw(const Case& c) {
  const auto lrs = c.params.at("lrs").get<std::vector<double>>();
  const auto betas = c.param("betas", std::vector<double>{0.9, 0.999});
  std::vector<NamedTensor> parameters;
  for (const auto& [name, tensor] : c.tensors) {
    if (name.rfind("in.", 0) == 0 && name.rfind("in.grad.", 0) != 0) parameters.push_back({name.substr(3), tensor.clone().requires_grad_()});
  }
  // Decay only on `w`, by its two dimensions or by its name; the other parameters are left out of it as the rule says.
  const auto optimizer = make_optimizer(parameter_groups(parameters, {.weight_decay = c.param("weight_decay", 0.0)}),
                                        {.name = "adamw", .beta1 = betas[0], .beta2 = betas[1], .eps = c.param("eps", 1e-8)});
  std::vector<double> norms;
  for (size_t t = 0; t < lrs.size(); ++t) {
    for (auto& [name, parameter] : parameters) {
      const std::string gradient = "grad." + name + "." + std::to_string(t);
      if (c.has_in(gradient)) parameter.mutable_grad() = c.in(gradient).clone();
    }
    norms.push_back(clip_gradients(parameters, c.param("grad_clip_norm", 0.0)));
    optimizer->step(lrs[t]);
    at::NoGradGuard no_grad;
    for (auto& [name, parameter] : parameters) {
      if (name == "logit_scale") parameter.clamp_(0, std::log(100.0));
    }
  }
  Result result;
  for (const auto& [name, parameter] : parameters) result.set("out." + name, parameter.detach());
  result.set("out.total_norms", at::tensor(norms, at::kDouble));
  return result;
}

Result lr_schedule(const Case& c) {
  const ScheduleOptions options{.name = c.param("schedule", std::string("cosine")),
                                .warmup_steps = c.param("warmup", int64_t(0)),
                                .cooldown_steps = c.param("cooldown_steps", int64_t(0)),
                                .cooldown_power = c.param("cooldown_power", 1.0),
                                .cooldown_end_lr = c.param("cooldown_end_lr", 0.0)};
  const auto total = c.params.at("total_steps").get<int64_t>();
  std::vector<double> rates;
  for (int64_t step = 0; step < total; ++step) rates.push_back(1e6 * learning_rate(options, c.params.at("base_lr"), step, total));
  Result result;
  result.set("out.lr_e6", at::tensor(rates, at::kDouble));
  return result;
}

Result param_groups(const Case& c) {
  const auto names = c.in_strings("names");
  const Tensor dims = c.has_in("ndims") ? c.in("ndims") : c.in("ndim");
  std::vector<int64_t> flags;
  for (size_t i = 0; i < names.size(); ++i) {
    flags.push_back(takes_weight_decay(names[i], dims[static_cast<int64_t>(i)].item<int64_t>()) ? 0 : 1);
  }
  Result result;
  result.set("out.no_decay", at::tensor(flags, at::kLong));
  return result;
}

}  // namespace train_operations

void add_train_operations(Operations& operations) {
  operations["train.adamw"] = train_operations::adamw;
  operations["train.lr_schedule"] = train_operations::lr_schedule;
  operations["train.param_groups"] = train_operations::param_groups;
}

}  // namespace vlm::golden
