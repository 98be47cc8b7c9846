#include <ATen/ops/div.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/square.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/train/optimizers/optimizers.h"
#include "vlm/train/optimizers/stateful.h"

namespace vlm {

namespace adafactor {

double root_mean_square(const Tensor& x) {
  return at::linalg_vector_norm(x).item<double>() / std::sqrt(static_cast<double>(std::max<int64_t>(1, x.numel())));
}

/// The dimensions over which the two averages of a factored second moment are taken; row = column where it is kept whole.
struct Factors {
  int64_t row = 0, column = 0;
  bool factored() const { return row != column; }
};

/// Those of the last two dimensions.
Factors last_two(const Tensor& parameter, const AdafactorOptions&) {
  return parameter.dim() >= 2 ? Factors{parameter.dim() - 1, parameter.dim() - 2} : Factors{};
}

/// Those of the two largest dimensions, of equal ones the later, if both are large enough.
Factors two_largest(const Tensor& parameter, const AdafactorOptions& options) {
  if (parameter.dim() < 2) return {};
  std::vector<int64_t> order(static_cast<size_t>(parameter.dim()));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return parameter.size(a) < parameter.size(b); });
  const int64_t largest = order[order.size() - 1], second = order[order.size() - 2];
  return parameter.size(second) >= options.min_dim_size_to_factor ? Factors{largest, second} : Factors{};
}

class Adafactor : public StatefulOptimizer {
 protected:
  using FactorRule = Factors (*)(const Tensor& parameter, const AdafactorOptions& options);

  Adafactor(std::vector<OptimizedParameter> parameters, const OptimizerOptions& options, FactorRule rule)
      : StatefulOptimizer(std::move(parameters), options.name, /*elementwise=*/false), options_(options.adafactor), rule_(rule),
        rows_(add_state("exp_avg_sq_row", [this](const auto& p) { return average(p, factors(p.parameter).row, true); })),
        columns_(add_state("exp_avg_sq_col", [this](const auto& p) { return average(p, factors(p.parameter).column, true); })),
        whole_(add_state("exp_avg_sq", [this](const auto& p) { return average(p, -1, false); })), steps_(add_steps()) {
    if (options_.momentum != 0) momentum_ = &add_moment("exp_avg");
  }

  Factors factors(const Tensor& parameter) const { return rule_(parameter, options_); }

  /// Takes squared gradients into the averages, which keep the dimension they are taken over with size 1.
  void average_squares(const Update& update, const Tensor& squares, double beta2) {
    const Factors f = factors(update.value);
    if (!f.factored()) {
      whole_[update.index].mul_(beta2).add_(squares, 1 - beta2);
      return;
    }
    rows_[update.index].mul_(beta2).add_(at::mean(squares, {f.row}, /*keepdim=*/true), 1 - beta2);
    columns_[update.index].mul_(beta2).add_(at::mean(squares, {f.column}, /*keepdim=*/true), 1 - beta2);
  }

  /// g / √V with V = R C / mean(R).
  Tensor preconditioned(const Update& update) const {
    const Factors f = factors(update.value);
    if (!f.factored()) return at::mul(update.gradient, at::rsqrt(whole_[update.index]));
    const Tensor& row = rows_[update.index];
    return at::mul(update.gradient, at::rsqrt(at::div(row, at::mean(row, {f.column}, /*keepdim=*/true)))).mul_(at::rsqrt(columns_[update.index]));
  }

  void clip(Tensor& direction) const { direction.div_(std::max(1.0, root_mean_square(direction) / options_.clip_threshold)); }

  /// The direction, or the running average of it where a first moment is kept.
  Tensor with_momentum(const Update& update, const Tensor& direction) {
    return momentum_ ? (*momentum_)[update.index].mul_(options_.momentum).add_(direction, 1 - options_.momentum) : direction;
  }

  double next_step_of(const Update& update) { return next_step(steps_[update.index]); }

  AdafactorOptions options_;
  FactorRule rule_;
  std::vector<Tensor>&rows_, &columns_, &whole_, &steps_;
  std::vector<Tensor>* momentum_ = nullptr;

 private:
  Tensor average(const OptimizedParameter& p, int64_t over, bool factored) const {
    if (factors(p.parameter).factored() != factored) return {};
    std::vector<int64_t> sizes = p.parameter.sizes().vec();
    if (factored) sizes[static_cast<size_t>(over)] = 1;
    const auto type = p.parameter.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    return at::zeros(sizes, p.parameter.options().dtype(type).requires_grad(false));
  }
};

class FairseqForm : public Adafactor {
 public:
  FairseqForm(std::vector<OptimizedParameter> parameters, const OptimizerOptions& options)
      : Adafactor(std::move(parameters), options, last_two), compounding_(options.adafactor.form == "fairseq_exact") {
    if (!compounding_) return;
    // One scalar a group, which is the state of all parameters in it.
    std::map<std::pair<double, double>, Tensor> groups;
    group_rates_ = &add_state("group_lr", [&](const auto& p) {
      Tensor& rate = groups[{p.lr_scale, p.weight_decay}];
      if (!rate.defined()) rate = at::full({}, std::numeric_limits<double>::quiet_NaN(), at::kDouble);
      return rate;
    });
  }

  void step(double lr) override {
    if (compounding_ && !std::isnan(lr)) {
      for (size_t i = 0; i < parameters_.size(); ++i) (*group_rates_)[i].fill_(lr * parameters_[i].lr_scale * parameters_[i].step_scale);
    }
    for_each_update(lr, [&](const Update& update) {
      const double t = next_step_of(update);
      const double rate = rate_of(update, t);
      average_squares(update, at::square(update.gradient).add_(options_.eps1), 1 - std::pow(t, -options_.decay_rate));
      Tensor direction = preconditioned(update);
      clip(direction);
      direction = with_momentum(update, direction.mul_(rate));
      if (update.weight_decay != 0) update.value.mul_(1 - update.weight_decay * rate);
      update.value.sub_(direction);
    });
  }

 private:
  double rate_of(const Update& update, double t) {
    double rate = compounding_ ? (*group_rates_)[update.index].item<double>() : update.lr;
    if (options_.relative_step) rate = std::min(options_.warmup_init ? 1e-6 * t : 1e-2, 1 / std::sqrt(t));
    if (options_.scale_parameter) rate *= std::max(options_.eps2, root_mean_square(update.value));
    if (compounding_) (*group_rates_)[update.index].fill_(rate);
    return rate;
  }

  bool compounding_;
  std::vector<Tensor>* group_rates_ = nullptr;
};

class TorchForm : public Adafactor {
 public:
  TorchForm(std::vector<OptimizedParameter> parameters, const OptimizerOptions& options)
      : Adafactor(std::move(parameters), options, last_two) {}

  void step(double lr) override {
    for_each_update(lr, [&](const Update& update) {
      const double t = next_step_of(update);
      const double rate = std::max(options_.eps2, root_mean_square(update.value)) * std::min(update.lr, 1 / std::sqrt(t));
      if (update.weight_decay != 0) update.value.mul_(1 - update.lr * update.weight_decay);
      average_squares(update, at::square(update.gradient), 1 - std::pow(t, -options_.decay_rate));
      Tensor direction = estimate(update).clamp_min_(options_.eps1 * options_.eps1).rsqrt_().mul_(update.gradient);
      clip(direction);
      update.value.sub_(with_momentum(update, direction), rate);
    });
  }

 private:
  Tensor estimate(const Update& update) const {
    const Factors f = factors(update.value);
    if (!f.factored()) return whole_[update.index].clone();
    const Tensor& row = rows_[update.index];
    return at::mul(row, columns_[update.index]).div_(at::mean(row, {f.column}, /*keepdim=*/true).clamp_min_(options_.eps1));
  }
};

class BigVisionForm : public Adafactor {
 public:
  BigVisionForm(std::vector<OptimizedParameter> parameters, const OptimizerOptions& options)
      : Adafactor(std::move(parameters), options, two_largest) {}

  void step(double lr) override {
    for_each_update(lr, [&](const Update& update) {
      const double t = next_step_of(update);
      const double beta2 = std::min(options_.beta2_cap, 1 - std::pow(t, -options_.decay_rate));
      average_squares(update, at::square(update.gradient).add_(options_.eps1), beta2);
      Tensor direction = preconditioned(update);
      clip(direction);
      direction = with_momentum(update, direction);
      if (update.weight_decay != 0) update.value.mul_(1 - (options_.unscaled_wd ? 1 : update.lr) * update.weight_decay);
      update.value.sub_(direction, update.lr);
    });
  }
};

}  // namespace adafactor

std::unique_ptr<Optimizer> make_adafactor(std::vector<OptimizedParameter> parameters, const OptimizerOptions& given) {
  OptimizerOptions options = given;
  AdafactorOptions& a = options.adafactor;
  if (a.eps1 < 0) a.eps1 = a.form == "torch" ? std::numeric_limits<float>::epsilon() : 1e-30;
  if (!(a.clip_threshold > 0)) fail_usage("adafactor.clip_threshold is ", a.clip_threshold, "; it must be above 0");
  if (!(a.momentum >= 0 && a.momentum < 1)) fail_usage("adafactor.momentum is ", a.momentum, "; it must be at least 0 and less than 1");
  if (a.form == "fairseq" || a.form == "fairseq_exact") return std::make_unique<adafactor::FairseqForm>(std::move(parameters), options);
  if (a.form == "torch") return std::make_unique<adafactor::TorchForm>(std::move(parameters), options);
  if (a.form == "big_vision") return std::make_unique<adafactor::BigVisionForm>(std::move(parameters), options);
  fail_usage("unknown adafactor.form '", a.form, "'", did_you_mean(a.form, {"fairseq", "fairseq_exact", "torch", "big_vision"}),
             "; there are: fairseq, fairseq_exact, torch, big_vision");
}

}  // namespace vlm
