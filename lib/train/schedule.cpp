#include "vlm/train/schedule.h"

#include <algorithm>
#include <cmath>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"

namespace vlm {

double learning_rate(const ScheduleOptions& options, double base_lr, int64_t step, int64_t total_steps) {
  const auto s = static_cast<double>(step), warmup = static_cast<double>(options.warmup_steps), total = static_cast<double>(total_steps);
  const bool known = options.name == "cosine" || options.name == "const" || options.name == "const-cooldown";
  if (!known) fail_usage("unknown schedule '", options.name, "'", did_you_mean(options.name, {"cosine", "const", "const-cooldown"}));
  if (step < options.warmup_steps) return base_lr * (s + 1) / warmup;
  if (options.name == "cosine") {
    const double progress = (s - warmup) / std::max(1.0, total - warmup);
    return 0.5 * (1 + std::cos(M_PI * std::min(progress, 1.0))) * base_lr;
  }
  const int64_t cooldown_begin = total_steps - options.cooldown_steps;
  if (options.name == "const" || step < cooldown_begin) return base_lr;
  const double progress = static_cast<double>(step - cooldown_begin) / static_cast<double>(std::max<int64_t>(1, options.cooldown_steps));
  return std::pow(1 - progress, options.cooldown_power) * (base_lr - options.cooldown_end_lr) + options.cooldown_end_lr;
}

}  // namespace vlm
