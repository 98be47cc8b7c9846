#include "vlm/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"

namespace vlm {

namespace schedule {

/// A schedule with what follows from the length of the run.
struct Curve {
  const ScheduleOptions& o;
  double base;
  int64_t total;
  int64_t warmup;
  int64_t epoch;  ///< steps in one; 0: there are none

  double part(int64_t step) const {  // of the steps after warm-up, not limited
    return static_cast<double>(step - warmup) / static_cast<double>(std::max<int64_t>(1, total - warmup));
  }
};

double cosine(double x) { return 0.5 * (1 + std::cos(M_PI * x)); }

// --- open_clip ---------------------------------------------------------------------------------------------------------------

double open_clip_warmup(const Curve& c, int64_t step) { return c.base * static_cast<double>(step + 1) / static_cast<double>(c.warmup); }

double open_clip_cosine(const Curve& c, int64_t step) {
  return step < c.warmup ? open_clip_warmup(c, step) : cosine(std::min(c.part(step), 1.0)) * c.base;
}

double open_clip_const(const Curve& c, int64_t step) { return step < c.warmup ? open_clip_warmup(c, step) : c.base; }

double open_clip_cooldown(const Curve& c, int64_t step) {
  const int64_t begin = c.total - c.o.cooldown_steps;
  if (step < c.warmup || step < begin) return open_clip_const(c, step);
  const double progress = static_cast<double>(step - begin) / static_cast<double>(std::max<int64_t>(1, c.o.cooldown_steps));
  return std::pow(1 - std::min(progress, 1.0), c.o.cooldown_power) * (c.base - c.o.cooldown_end_lr) + c.o.cooldown_end_lr;
}

// --- cycles, as fairseq and timm have them -----------------------------------------------------------------------------------

struct Cycle {
  double index, t, length;  ///< t: steps since the cycle's begin
};

Cycle cycle_at(int64_t t, int64_t period, double mult) {
  const auto p = static_cast<double>(period);
  if (mult == 1) return {static_cast<double>(t / period), static_cast<double>(t % period), p};
  const double index = std::floor(std::log(1 - static_cast<double>(t) / p * (1 - mult)) / std::log(mult));
  const double scale = std::pow(mult, index);
  return {index, static_cast<double>(t) - (1 - scale) / (1 - mult) * p, scale * p};
}

// --- fairseq: n updates were made --------------------------------------------------------------------------------------------

double init_or(const Curve& c, double otherwise) { return c.o.warmup_init_lr < 0 ? otherwise : c.o.warmup_init_lr; }

double linear_warmup(double init, double peak, int64_t n, int64_t warmup) {
  return init + static_cast<double>(n) * (peak - init) / static_cast<double>(warmup);
}

int64_t period_or(const Curve& c, int64_t otherwise) { return std::max<int64_t>(1, c.o.period > 0 ? c.o.period : otherwise); }

double fairseq_cosine(const Curve& c, int64_t n) {
  if (n < c.warmup) return linear_warmup(init_or(c, c.o.min_lr), c.base, n, c.warmup);
  const Cycle cycle = cycle_at(n - c.warmup, period_or(c, c.total - c.warmup), c.o.period_mult);
  const double scale = std::pow(c.o.shrink, cycle.index);
  return scale * (c.o.min_lr + (c.base - c.o.min_lr) * cosine(cycle.t / cycle.length));
}

double fairseq_polynomial(const Curve& c, int64_t n) {
  if (c.warmup > 0 && n <= c.warmup) return static_cast<double>(n) / static_cast<double>(c.warmup) * c.base;
  if (n >= c.total) return c.o.min_lr;
  return (c.base - c.o.min_lr) * std::pow(1 - c.part(n), c.o.power) + c.o.min_lr;
}

double fairseq_inverse_sqrt(const Curve& c, int64_t n) {
  if (c.warmup <= 0) fail_usage("fairseq's inverse_sqrt needs warm-up: its curve is the learning rate times sqrt(warmup_steps / updates)");
  if (n < c.warmup) return linear_warmup(init_or(c, 0), c.base, n, c.warmup);
  return c.base * std::sqrt(static_cast<double>(c.warmup)) / std::sqrt(static_cast<double>(n));
}

struct Stages {
  int64_t warmup, hold, decay;
};

Stages stages(const Curve& c) {
  if (c.o.phase_ratio.empty()) return {c.warmup, c.o.hold_steps, c.o.decay_steps};
  if (c.o.phase_ratio.size() != 3) fail_usage("schedule.phase_ratio takes three parts (warm-up, hold, decay), not ", c.o.phase_ratio.size());
  const auto steps = [&](size_t i) { return static_cast<int64_t>(static_cast<double>(c.total) * c.o.phase_ratio[i]); };
  return {steps(0), steps(1), steps(2)};
}

double fairseq_tri_stage(const Curve& c, int64_t n) {
  const auto [warmup, hold, decay] = stages(c);
  if (n < warmup) return linear_warmup(c.o.init_lr_scale * c.base, c.base, n, warmup);
  if (n < warmup + hold) return c.base;
  const int64_t k = n - warmup - hold;
  if (k > decay) return c.o.final_lr_scale * c.base;
  return decay == 0 ? c.base : c.base * std::exp(std::log(c.o.final_lr_scale) * static_cast<double>(k) / static_cast<double>(decay));
}

double fairseq_triangular(const Curve& c, int64_t n) {
  const int64_t half = std::max<int64_t>(1, period_or(c, c.total) / 2);
  if (!(c.o.max_lr > c.base)) fail_usage("schedule.max_lr is ", c.o.max_lr, "; the triangular schedule rises to it from the learning rate ", c.base);
  const int64_t cycle = n / (2 * half);
  const double shrink = std::pow(c.o.shrink, static_cast<double>(cycle));
  const double low = c.o.shrink_min ? c.base * shrink : c.base, high = c.o.max_lr * shrink;
  const double x = std::abs(static_cast<double>(n) / static_cast<double>(half) - 2 * static_cast<double>(cycle + 1) + 1);
  return low + (high - low) * std::max(0.0, 1 - x);
}

double fairseq_step(const Curve& c, int64_t n) {
  if (n < c.warmup) return linear_warmup(init_or(c, c.o.min_lr), c.base, n, c.warmup);
  return std::max(c.o.min_lr, c.base * std::pow(c.o.shrink, static_cast<double>((n - c.warmup) / period_or(c, c.total))));
}

double fairseq_initial(const Curve& c) {
  const std::string& name = c.o.name;
  if (name == "cosine" || name == "step") return init_or(c, c.o.min_lr);
  if (name == "polynomial_decay") return c.warmup > 0 ? c.base / static_cast<double>(c.warmup) : c.base;
  if (name == "inverse_sqrt") return init_or(c, c.warmup > 0 ? 0 : c.base);
  if (name == "tri_stage") return c.o.init_lr_scale * c.base;
  return c.base;
}

// --- timm: t epochs or updates ------------------------------------------------------------------------------------------------

bool timm_prefix(const Curve& c) {
  const std::string& prefix = c.o.warmup_prefix;
  if (prefix == "auto") return c.o.name == "step";
  if (prefix != "true" && prefix != "false") fail_usage("schedule.warmup_prefix is '", prefix, "'; it is true, false or auto");
  return prefix == "true";
}

double timm_warmup(const Curve& c, int64_t t) { return linear_warmup(init_or(c, 0), c.base, t, c.warmup); }

int64_t timm_time(const Curve& c, int64_t t) { return timm_prefix(c) ? t - c.warmup : t; }

/// Between the top of the cycle and min_lr, as `shape` has it for its part (t / length)^k.
template <class Shape>
double timm_cycles(const Curve& c, int64_t t, Shape shape) {
  if (t < c.warmup) return timm_warmup(c, t);
  const Cycle cycle = cycle_at(timm_time(c, t), period_or(c, timm_prefix(c) ? c.total - c.warmup : c.total), c.o.period_mult);
  if (cycle.index >= static_cast<double>(c.o.cycles)) return c.o.min_lr;
  const double top = c.base * std::pow(c.o.shrink, cycle.index);
  return c.o.min_lr + (top - c.o.min_lr) * shape(std::pow(cycle.t, c.o.k_decay) / std::pow(cycle.length, c.o.k_decay));
}

double timm_cosine(const Curve& c, int64_t t) { return timm_cycles(c, t, cosine); }

double timm_poly(const Curve& c, int64_t t) {
  return timm_cycles(c, t, [&](double x) { return std::pow(1 - x, c.o.power); });
}

double timm_step(const Curve& c, int64_t t) {
  if (t < c.warmup) return timm_warmup(c, t);
  return c.base * std::pow(c.o.shrink, static_cast<double>(timm_time(c, t) / period_or(c, c.total)));
}

// --- big_vision ----------------------------------------------------------------------------------------------------------------

double big_vision_ends(const Curve& c, int64_t step, double rate) {
  if (c.warmup > 0) rate *= std::min(1.0, static_cast<double>(step) / static_cast<double>(c.warmup));
  if (c.o.cooldown_steps > 0) rate *= std::clamp(static_cast<double>(c.total - step) / static_cast<double>(c.o.cooldown_steps), 0.0, 1.0);
  return rate;
}

double big_vision_part(const Curve& c, int64_t step) { return std::clamp(c.part(step), 0.0, 1.0); }

double big_vision_cosine(const Curve& c, int64_t step) { return big_vision_ends(c, step, c.base * cosine(big_vision_part(c, step))); }

double big_vision_fall(const Curve& c, int64_t step, double power) {
  return big_vision_ends(c, step, c.o.min_lr + (c.base - c.o.min_lr) * std::pow(1 - big_vision_part(c, step), power));
}

double big_vision_linear(const Curve& c, int64_t step) { return big_vision_fall(c, step, 1); }
double big_vision_polynomial(const Curve& c, int64_t step) { return big_vision_fall(c, step, c.o.power); }

double big_vision_rsqrt(const Curve& c, int64_t step) {
  if (!(c.o.timescale > 0)) fail_usage("schedule.timescale is ", c.o.timescale, "; it must be above 0");
  const auto after = static_cast<double>(std::max<int64_t>(step - c.warmup, 0));
  return big_vision_ends(c, step, c.base / std::sqrt(1 + (after + c.o.shift) / c.o.timescale));
}

double big_vision_stair(const Curve& c, int64_t step) {
  if (c.o.steps.size() != c.o.mults.size()) {
    fail_usage("schedule.steps has ", c.o.steps.size(), " entries, schedule.mults ", c.o.mults.size(), "; the stair needs as many of each");
  }
  if (!std::is_sorted(c.o.steps.begin(), c.o.steps.end())) fail_usage("schedule.steps must ascend");
  const auto passed = std::lower_bound(c.o.steps.begin(), c.o.steps.end(), step + 1) - c.o.steps.begin();
  return big_vision_ends(c, step, c.base * (passed == 0 ? 1 : c.o.mults[static_cast<size_t>(passed - 1)]));
}

// --- transformers ---------------------------------------------------------------------------------------------------------------

double hf_warmup(const Curve& c, int64_t step) { return c.base * static_cast<double>(step) / static_cast<double>(c.warmup); }

double hf_linear(const Curve& c, int64_t step) { return step < c.warmup ? hf_warmup(c, step) : c.base * std::max(0.0, 1 - c.part(step)); }

double hf_cosine(const Curve& c, int64_t step) {
  return step < c.warmup ? hf_warmup(c, step) : c.base * std::max(0.0, cosine(2 * c.o.num_cycles * c.part(step)));
}

double hf_polynomial(const Curve& c, int64_t step) {
  if (step < c.warmup) return hf_warmup(c, step);
  if (step > c.total) return c.o.min_lr;
  return (c.base - c.o.min_lr) * std::pow(1 - c.part(step), c.o.power) + c.o.min_lr;
}

// --- CTP ------------------------------------------------------------------------------------------------------------------------

double ctp_cosine(const Curve& c, int64_t step) {
  return c.o.min_lr + (c.base - c.o.min_lr) * cosine(static_cast<double>(step) / static_cast<double>(std::max<int64_t>(1, c.total)));
}

// --- ALBEF ----------------------------------------------------------------------------------------------------------------------

/// Warm-up takes place in the first epoch, of which the rest runs at the peak; from then on the rate changes with the epochs.
double albef_cosine(const Curve& c, int64_t step) {
  if (c.epoch < 1) fail_usage("schedule.style albef needs a data set with epochs: its rate falls from one to the next");
  if (c.o.warmup_stair < 1) fail_usage("schedule.warmup_stair is ", c.o.warmup_stair, "; it must be at least 1");
  const int64_t epoch = step / c.epoch, epochs = std::max<int64_t>(1, c.total / c.epoch);
  if (epoch == 0) {
    // The reference sets the rate after an iteration, so a stair's first step still has the one before.
    const int64_t n = std::max<int64_t>(0, step - 1) / c.o.warmup_stair * c.o.warmup_stair;
    return n < c.warmup ? linear_warmup(init_or(c, 0), c.base, n, c.warmup) : c.base;
  }
  if (epoch >= epochs) return c.o.min_lr;
  return c.o.min_lr + (c.base - c.o.min_lr) * cosine(static_cast<double>(epoch) / static_cast<double>(epochs));
}

using Rate = double (*)(const Curve&, int64_t);

const std::map<std::string, std::map<std::string, Rate>>& styles() {
  static const std::map<std::string, std::map<std::string, Rate>> table = {
      {"open_clip", {{"cosine", open_clip_cosine}, {"const", open_clip_const}, {"const-cooldown", open_clip_cooldown}}},
      {"fairseq", {{"cosine", fairseq_cosine}, {"polynomial_decay", fairseq_polynomial}, {"inverse_sqrt", fairseq_inverse_sqrt},
                   {"tri_stage", fairseq_tri_stage}, {"triangular", fairseq_triangular}, {"step", fairseq_step}}},
      {"timm", {{"cosine", timm_cosine}, {"poly", timm_poly}, {"step", timm_step}}},
      {"big_vision", {{"cosine", big_vision_cosine}, {"linear", big_vision_linear}, {"polynomial", big_vision_polynomial},
                      {"rsqrt", big_vision_rsqrt}, {"stair", big_vision_stair}}},
      {"hf", {{"cosine", hf_cosine}, {"linear", hf_linear}, {"polynomial", hf_polynomial}}},
      {"ctp", {{"cosine", ctp_cosine}}},
      {"albef", {{"cosine", albef_cosine}}},
  };
  return table;
}

template <class Value>
const Value& find(const std::map<std::string, Value>& table, const std::string& name, const std::string& what) {
  if (const auto it = table.find(name); it != table.end()) return it->second;
  std::vector<std::string> names;
  for (const auto& [known, value] : table) names.push_back(known);
  fail_usage("unknown ", what, " '", name, "'", did_you_mean(name, names), "; there are: ", join(names, ", "));
}

Curve curve(const ScheduleOptions& options, double base_lr, int64_t total_steps, int64_t steps_per_epoch) {
  if (options.warmup_steps < 0 || options.cooldown_steps < 0 || options.hold_steps < 0 || options.decay_steps < 0) {
    fail_usage("the schedule's numbers of steps must not be negative");
  }
  if (!(options.period_mult >= 1)) fail_usage("schedule.period_mult is ", options.period_mult, "; it must be at least 1");
  if (!(options.warmup_ratio >= 0 && options.warmup_ratio <= 1)) fail_usage("schedule.warmup_ratio is ", options.warmup_ratio, "; it is a part from 0 to 1");
  if (options.warmup_ratio > 0 && options.warmup_steps > 0) fail_usage("schedule.warmup_steps and schedule.warmup_ratio say the same; give one");
  if (options.in_epochs) {
    if (options.style != "timm") fail_usage("schedule.in_epochs is for style timm, not for ", options.style);
    if (steps_per_epoch < 1) fail_usage("schedule.in_epochs needs the number of steps in an epoch");
    total_steps /= steps_per_epoch;
  }
  const int64_t warmup = options.warmup_ratio > 0 ? static_cast<int64_t>(options.warmup_ratio * static_cast<double>(total_steps)) : options.warmup_steps;
  return {options, base_lr, total_steps, warmup, steps_per_epoch};
}

}  // namespace schedule

double learning_rate(const ScheduleOptions& options, double base_lr, int64_t step, int64_t total_steps, int64_t steps_per_epoch) {
  const auto rate = schedule::find(schedule::find(schedule::styles(), options.style, "style of schedules"), options.name,
                                   options.style + " schedule");
  return rate(schedule::curve(options, base_lr, total_steps, steps_per_epoch), options.in_epochs ? step / std::max<int64_t>(1, steps_per_epoch) : step);
}

bool has_own_rates(const ScheduleOptions& options) { return options.style == "albef"; }

double initial_learning_rate(const ScheduleOptions& options, double base_lr, int64_t total_steps, int64_t steps_per_epoch) {
  const double first = options.style == "fairseq" ? 0 : learning_rate(options, base_lr, 0, total_steps, steps_per_epoch);
  if (options.style != "fairseq" && options.style != "timm") return first;
  const auto curve = schedule::curve(options, base_lr, total_steps, steps_per_epoch);
  if (options.style == "timm") return curve.warmup > 0 ? schedule::init_or(curve, 0) : base_lr;
  return schedule::fairseq_initial(curve);
}

}  // namespace vlm
