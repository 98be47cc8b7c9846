/// Learning rates by step in the styles of six code bases (specs: efficiency, 9). Their keys become those of ScheduleOptions
/// here, with the references' defaults.

#include <ATen/ops/tensor.h>

#include <algorithm>

#include "vlm/core/error.h"
#include "vlm/golden/case.h"
#include "vlm/train/schedule.h"

namespace vlm::golden {

namespace schedule_operations {

/// How many steps the case lists.
int64_t listed(const Case& c, int64_t otherwise) {
  const auto it = c.tensors.find("out.lr");
  return it != c.tensors.end() && it->second.dim() > 0 ? it->second.size(0) : otherwise;
}

/// A number, or the first of a list.
double number(const Case& c, const std::string& key, double otherwise) {
  const auto value = c.params.value(key, nlohmann::json());
  if (value.is_array() && !value.empty()) return value[0];
  return value.is_number() ? value.get<double>() : otherwise;
}

int64_t integer(const Case& c, const std::string& key, int64_t otherwise = 0) {
  return static_cast<int64_t>(number(c, key, static_cast<double>(otherwise)));
}

Result rates(const ScheduleOptions& options, double base, int64_t total, int64_t count) {
  std::vector<double> lr;
  for (int64_t step = 0; step < count; ++step) lr.push_back(learning_rate(options, base, step, total));
  Result result;
  result.set("out.lr", at::tensor(lr, at::kDouble));
  return result;
}

Result fairseq(const Case& c) {
  ScheduleOptions o{.style = "fairseq", .name = c.params.at("schedule")};
  o.warmup_steps = std::max<int64_t>(0, integer(c, o.name == "tri_stage" ? "warmup_steps" : "warmup_updates"));
  o.warmup_init_lr = number(c, "warmup_init_lr", -1);
  o.min_lr = number(c, o.name == "polynomial_decay" ? "end_learning_rate" : "min_lr", 0);
  o.max_lr = number(c, "max_lr", 0);
  o.power = number(c, "power", 1);
  o.period = o.name == "step" ? integer(c, c.params.contains("lr_deacy_period") ? "lr_deacy_period" : "lr_decay_period", 25000)
                              : integer(c, "lr_period_updates", o.name == "triangular" ? 5000 : -1);
  o.period_mult = number(c, "t_mult", 1);
  o.shrink = o.name == "step" ? number(c, "lr_decay", 0.5) : number(c, "lr_shrink", 0.1);
  o.shrink_min = c.param("shrink_min", false);
  o.phase_ratio = c.param("phase_ratio", std::vector<double>());
  o.hold_steps = integer(c, "hold_steps");
  o.decay_steps = integer(c, "decay_steps");
  o.init_lr_scale = number(c, "init_lr_scale", 0.01);
  o.final_lr_scale = number(c, "final_lr_scale", 0.01);
  const double base = number(c, "lr", 0);
  const int64_t total = integer(c, o.name == "polynomial_decay" ? "total_num_update" : "max_update", 1'000'000);
  Result result = rates(o, base, total, listed(c, 45));
  result.set("out.initial", initial_learning_rate(o, base, total));
  return result;
}

Result timm(const Case& c) {
  ScheduleOptions o{.style = "timm", .name = c.params.at("schedule")};
  o.warmup_steps = integer(c, "warmup_t");
  o.warmup_init_lr = number(c, "warmup_lr_init", 0);
  if (c.params.contains("warmup_prefix") && !c.params["warmup_prefix"].is_null()) o.warmup_prefix = c.param("warmup_prefix", false) ? "true" : "false";
  o.min_lr = number(c, "lr_min", 0);
  o.power = number(c, "power", 0.5);
  o.period = integer(c, o.name == "step" ? "decay_t" : "t_initial");
  o.period_mult = number(c, "cycle_mul", 1);
  o.shrink = number(c, o.name == "step" ? "decay_rate" : "cycle_decay", 1);
  o.cycles = integer(c, "cycle_limit", 1);
  o.k_decay = number(c, "k_decay", 1);
  const auto given = c.params.at("base_lr");
  const auto bases = given.is_array() ? given.get<std::vector<double>>() : std::vector<double>{given.get<double>()};
  const int64_t count = listed(c, 45);
  std::vector<double> lr, initial;
  for (const double base : bases) initial.push_back(initial_learning_rate(o, base, o.period));
  for (int64_t t = 0; t < count; ++t) {
    for (const double base : bases) lr.push_back(learning_rate(o, base, t, o.period));
  }
  Result result;
  result.set("out.initial", at::tensor(initial, at::kDouble));
  result.set("out.lr", at::tensor(lr, at::kDouble).reshape({count, static_cast<int64_t>(bases.size())}));
  return result;
}

Result open_clip(const Case& c) {
  auto name = c.params.at("schedule").get<std::string>();
  name = name == "cosine_lr" ? "cosine" : name == "const_lr" ? "const" : name == "const_lr_cooldown" ? "const-cooldown" : name;
  const ScheduleOptions o{.style = "open_clip", .name = name, .warmup_steps = integer(c, "warmup_length"), .cooldown_steps = integer(c, "cooldown_steps"),
                          .cooldown_power = number(c, "cooldown_power", 1), .cooldown_end_lr = number(c, "cooldown_end_lr", 0)};
  const int64_t total = integer(c, "steps");
  return rates(o, number(c, "base_lr", 0), total, listed(c, total));
}

Result big_vision(const Case& c) {
  ScheduleOptions o{.style = "big_vision", .name = c.params.at("schedule")};
  o.warmup_steps = integer(c, "warmup_steps");
  o.cooldown_steps = integer(c, "cooldown_steps");
  o.power = number(c, "power", 1);
  o.min_lr = number(c, "linear_end", 0);
  o.timescale = number(c, "timescale_steps", number(c, "timescale", 10000));
  o.shift = number(c, "shift_steps", number(c, "shift", 0));
  o.steps = c.param("steps", std::vector<int64_t>());
  o.mults = c.param("mults", std::vector<double>());
  const int64_t total = integer(c, "total_steps");
  return rates(o, number(c, "base", 1), total, listed(c, total));
}

Result hf(const Case& c) {
  const ScheduleOptions o{.style = "hf", .name = c.params.at("schedule"), .warmup_steps = integer(c, "num_warmup_steps"),
                          .min_lr = number(c, "lr_end", 1e-7), .power = number(c, "power", 1), .num_cycles = number(c, "num_cycles", 0.5)};
  return rates(o, number(c, "base_lr", 0), integer(c, "num_training_steps"), listed(c, 32));
}

Result ctp_cosine(const Case& c) {
  const ScheduleOptions o{.style = "ctp", .name = "cosine", .min_lr = number(c, "min_lr", 0)};
  const int64_t total = integer(c, "epochs") * integer(c, "niter_per_ep");
  return rates(o, number(c, "init_lr", 0), total, total);
}

}  // namespace schedule_operations

void add_schedule_operations(Operations& operations) {
  operations["sched.fairseq"] = schedule_operations::fairseq;
  operations["sched.timm"] = schedule_operations::timm;
  operations["sched.open_clip"] = schedule_operations::open_clip;
  operations["sched.big_vision"] = schedule_operations::big_vision;
  operations["sched.hf"] = schedule_operations::hf;
  operations["sched.ctp_cosine"] = schedule_operations::ctp_cosine;
}

}  // namespace vlm::golden
