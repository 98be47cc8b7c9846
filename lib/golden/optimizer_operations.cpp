/// Optimisers, parameter groups, averages of weights, and who updates what (specs: efficiency, 5 and 9; objectives, 5.7).

#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cstdio>
#include <limits>

#include "vlm/core/error.h"
#include "vlm/golden/case.h"
#include "vlm/train/ema.h"
#include "vlm/train/gradients.h"
#include "vlm/train/optimizer.h"
#include "vlm/train/parameter_groups.h"
#include "vlm/train/zero1.h"

namespace vlm::golden {

namespace optimizer_operations {

/// The parameters of the case in their order, the decayed ones and the others.
struct Parameters {
  std::vector<OptimizedParameter> all, decayed, undecayed;
};

Parameters parameters_of(const Case& c) {
  const TensorMap weights = c.weights();
  const auto undecayed = c.param("no_decay", std::vector<std::string>());
  Parameters out;
  for (const auto& name : c.params.at("param_order").get<std::vector<std::string>>()) {
    const bool decayed = std::find(undecayed.begin(), undecayed.end(), name) == undecayed.end();
    out.all.push_back({.name = name,
                       .parameter = weights.at(name).clone().requires_grad_(),
                       .weight_decay = decayed ? c.param("weight_decay", 0.0) : 0.0});
    (decayed ? out.decayed : out.undecayed).push_back(out.all.back());
  }
  return out;
}

/// Steps with the gradients of the case. `later_lr` is the rate from the second step on where the case has a single one.
Result run_steps(const Case& c, const Parameters& parameters, const std::vector<std::unique_ptr<Optimizer>>& optimizers, double later_lr) {
  const auto lrs = c.param("lr_by_step", std::vector<double>());
  const double constant = c.param("lr", 0.0);
  Result result;
  const auto steps = c.params.at("steps").get<int64_t>();
  for (int64_t t = 0; t < steps; ++t) {
    for (const auto& p : parameters.all) {
      const std::string gradient = concat("grad.", t, ".", p.name);
      if (c.has_in(gradient)) {
        p.parameter.mutable_grad() = c.in(gradient).clone();
      } else {
        p.parameter.mutable_grad().reset();
      }
    }
    const double lr = !lrs.empty() ? lrs.at(static_cast<size_t>(t)) : t == 0 ? constant : later_lr;
    for (const auto& optimizer : optimizers) optimizer->step(lr);
    for (const auto& p : parameters.all) result.set(concat("out.", t, ".", p.name), p.parameter.detach().clone());
  }
  return result;
}

OptimizerOptions options_of(const Case& c, const std::string& name) {
  const auto betas = c.param("betas", std::vector<double>{0.9, name == "lion" ? 0.99 : 0.999});
  OptimizerOptions options{.name = name, .beta1 = betas.at(0), .beta2 = betas.at(1)};
  if (name != "adafactor") options.eps = c.param("eps", name == "lamb" ? 1e-6 : 1e-8);
  options.amsgrad = c.param("amsgrad", false);
  options.momentum = 0;
  if (name == "sgd") options.momentum = c.param("momentum", 0.0);
  options.dampening = c.param("dampening", 0.0);
  options.nesterov = c.param("nesterov", false);
  options.bias_correction = c.param("bias_correction", true);
  options.grad_averaging = c.param("grad_averaging", true);
  options.trust_clip = c.param("trust_clip", false);
  options.always_adapt = c.param("always_adapt", false);
  options.decoupled_decay = c.param("decoupled_decay", false);
  options.max_grad_norm = c.params.contains("max_grad_norm") ? c.param("max_grad_norm", 0.0) : 1.0;
  return options;
}

Result optimize(const Case& c) {
  const Parameters parameters = parameters_of(c);
  std::vector<std::unique_ptr<Optimizer>> optimizers;
  optimizers.push_back(make_optimizer(parameters.all, options_of(c, c.kind.substr(c.kind.find('.') + 1))));
  return run_steps(c, parameters, optimizers, c.param("lr", 0.0));
}

/// The two numbers of `eps`, of which each may be missing.
std::pair<double, double> two_epsilons(const Case& c, double first, double second) {
  const auto eps = c.params.value("eps", nlohmann::json());
  if (eps.is_number()) return {eps.get<double>(), second};
  if (!eps.is_array()) return {first, second};
  if (eps.size() > 0 && eps[0].is_number()) first = eps[0];
  if (eps.size() > 1 && eps[1].is_number()) second = eps[1];
  return {first, second};
}

Result adafactor(const Case& c) {
  OptimizerOptions options = options_of(c, "adafactor");
  AdafactorOptions& a = options.adafactor;
  a.form = c.param("form", std::string("fairseq"));
  double later_lr = c.param("lr", 0.0);
  if (a.form == "fairseq") {
    a.form = "fairseq_exact";
    std::tie(a.eps1, a.eps2) = two_epsilons(c, 1e-30, 1e-3);
    a.clip_threshold = c.param("clip_threshold", 1.0);
    a.decay_rate = -c.param("decay_rate", -0.8);
    a.momentum = c.param("beta1", 0.0);
    a.scale_parameter = c.param("scale_parameter", true);
    a.relative_step = c.param("relative_step", true);
    a.warmup_init = c.param("warmup_init", false);
    later_lr = std::numeric_limits<double>::quiet_NaN();  // nobody sets the reference's rate again
  } else if (a.form == "torch") {
    std::tie(a.eps1, a.eps2) = two_epsilons(c, 1.1920928955078125e-07, 1e-3);
    a.clip_threshold = c.param("d", 1.0);
    a.decay_rate = -c.param("beta2_decay", -0.8);
  } else {
    a.eps1 = c.param("eps", 1e-30);
    a.clip_threshold = c.param("clipping_threshold", std::numeric_limits<double>::infinity());
    a.decay_rate = c.param("decay_rate", 0.8);
    a.beta2_cap = c.param("beta2_cap", 0.999);
    a.momentum = c.param("momentum", 0.0);
    a.min_dim_size_to_factor = c.param("min_dim_size_to_factor", int64_t(16));
    a.unscaled_wd = c.param("unscaled_wd", false);
  }
  // The reference's groups, also where their decay is the same.
  const Parameters parameters = parameters_of(c);
  std::vector<std::unique_ptr<Optimizer>> optimizers;
  optimizers.push_back(make_optimizer(parameters.decayed, options));
  optimizers.push_back(make_optimizer(parameters.undecayed, options));
  return run_steps(c, parameters, optimizers, later_lr);
}

Result clip_norm(const Case& c) {
  std::vector<NamedTensor> parameters;
  for (const auto& [name, tensor] : c.tensors) {
    if (name.rfind("in.", 0) != 0) continue;
    Tensor leaf = at::zeros_like(tensor).requires_grad_();
    leaf.mutable_grad() = tensor.clone();
    parameters.push_back({name.substr(3), leaf});
  }
  const auto order = c.params.value("norm_type", nlohmann::json(2.0));
  const double norm = clip_gradients(parameters, c.params.at("max_norm"),
                                     order.is_number() ? order.get<double>() : std::numeric_limits<double>::infinity());
  Result result;
  result.set("out.norm", norm);
  for (const auto& [name, tensor] : parameters) result.set("out." + name, tensor.grad());
  return result;
}

std::string format(const char* pattern, double value) {
  char text[64];
  std::snprintf(text, sizeof text, pattern, value);
  return text;
}

Result layer_decay_groups(const Case& c) {
  const auto style = c.params.at("style").get<std::string>();
  const bool beit = style == "beit", layered = style != "weight_decay_only";
  auto names = c.in_strings("names");
  auto counted = names;
  // BEiT's depth is given, whatever names there are.
  if (beit) counted.push_back(concat("blocks.", c.params.at("depth").get<int64_t>() - 1, ".x"));
  const auto places = layered ? layer_places(counted, beit ? "beit" : "timm") : std::map<std::string, LayerPlace>();
  const auto undecayed = c.param("no_weight_decay", std::vector<std::string>());
  std::map<std::string, int64_t> dims;
  if (c.has_in("ndim")) {
    const Tensor ndim = c.in("ndim");
    for (size_t i = 0; i < names.size(); ++i) dims[names[i]] = ndim[static_cast<int64_t>(i)].item<int64_t>();
  }
  const auto decay = [&](const std::string& name) {
    const bool by_form = layered || c.param("exclude_1d", true);
    const bool small = by_form && dims.count(name) && dims.at(name) <= 1;
    const bool bias = !layered && by_form && name.size() >= 5 && name.compare(name.size() - 5, 5, ".bias") == 0;
    return small || bias || matches_any(undecayed, name) ? 0.0 : c.param("weight_decay", 0.0);
  };
  if (!beit) std::sort(names.begin(), names.end());
  std::vector<std::string> lines;
  std::vector<int64_t> ids;
  for (const auto& name : names) {
    std::string line = name;
    if (layered) {
      line += format(" lr_scale=%.8f", layer_scale(places.at(name), c.params.at("layer_decay"), c.param("min_scale", 0.0)));
      ids.push_back(places.at(name).id);
    }
    if (!beit) line += format(" wd=%g", decay(name));
    lines.push_back(line);
  }
  Result result;
  result.set_strings("out.groups", lines);
  if (c.wants("out.layer_id")) result.set("out.layer_id", at::tensor(ids, at::kLong));
  return result;
}

EmaOptions ema_options(const Case& c) {
  return {.decay = c.params.at("momentum"), .schedule = c.param("schedule", std::string("constant")), .final_decay = c.param("final", 1.0),
          .warmup_steps = c.param("warmup_epochs", int64_t(0)) * c.param("iters_per_epoch", int64_t(1))};
}

Result ema_update(const Case& c) {
  const EmaOptions options = ema_options(c);
  const Tensor student = c.in("student");
  const int64_t total = c.param("epochs", int64_t(1)) * c.param("iters_per_epoch", student.size(0));
  Tensor weights = c.in("teacher0").clone().requires_grad_();
  Ema ema({{"weights", weights}}, options);
  std::vector<Tensor> teachers;
  std::vector<double> momenta;
  for (int64_t step = 0; step < student.size(0); ++step) {
    weights.detach().copy_(student[step]);
    momenta.push_back(ema_decay(options, step, total));
    ema.update(step, total);
    teachers.push_back(ema.state().at("weights").clone());
  }
  Result result;
  result.set("out.teacher", at::stack(teachers));
  result.set("out.momenta", at::tensor(momenta, at::kDouble));
  return result;
}

Result ema_schedule(const Case& c) {
  const auto per_epoch = c.params.at("iters_per_epoch").get<int64_t>();
  const int64_t total = c.params.at("epochs").get<int64_t>() * per_epoch;
  std::vector<double> values;
  for (int64_t step = 0; step < total; ++step) {
    values.push_back(cosine_with_warmup(c.params.at("base"), c.params.at("final"), step, total, c.param("warmup_epochs", int64_t(0)) * per_epoch));
  }
  Result result;
  result.set("out.values", at::tensor(values, at::kDouble));
  return result;
}

Result zero1_partition(const Case& c) {
  const auto sizes = c.params.at("numel").get<std::vector<int64_t>>();
  const auto world = c.params.at("world_size").get<int64_t>();
  std::vector<int64_t> begins, ends;
  for (int64_t rank = 0; rank < world; ++rank) {
    const FlatPartition part = partition_flat(sizes, world, rank);
    begins.push_back(part.begin);
    ends.push_back(part.end);
  }
  Result result;
  result.set("out.padded", at::tensor({partition_flat(sizes, world, 0).padded}, at::kLong));
  result.set("out.start", at::tensor(begins, at::kLong));
  result.set("out.end", at::tensor(ends, at::kLong));
  return result;
}

}  // namespace optimizer_operations

void add_optimizer_operations(Operations& operations) {
  for (const char* name : {"adamw", "adam", "adam_fairseq", "sgd", "lamb", "lion"}) operations[concat("optim.", name)] = optimizer_operations::optimize;
  operations["optim.adafactor"] = optimizer_operations::adafactor;
  operations["optim.clip_norm"] = optimizer_operations::clip_norm;
  operations["layer_decay.groups"] = optimizer_operations::layer_decay_groups;
  operations["ema.update"] = optimizer_operations::ema_update;
  operations["ema.schedule"] = optimizer_operations::ema_schedule;
  operations["zero1.partition"] = optimizer_operations::zero1_partition;
}

}  // namespace vlm::golden
