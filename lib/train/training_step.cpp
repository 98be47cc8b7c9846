#include "vlm/train/training_step.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "vlm/core/error.h"
#include "vlm/core/rng.h"
#include "vlm/train/autocast.h"
#include "vlm/train/gradients.h"
#include "vlm/train/sharded_optimizer.h"

namespace vlm {

namespace training_step {

std::string some_keys(const std::vector<StepBatch>& batches, const std::vector<size_t>& part) {
  std::string out;
  size_t shown = 0, all = 0;
  for (const size_t b : part) {
    for (const auto& key : batches[b].batch.keys) {
      if (all++ < 5) out += (shown++ ? ", " : "") + key;
    }
  }
  return all > shown ? concat(out, " and ", all - shown, " more") : out;
}

/// How many items a batch weighs where batches are added up by items.
double items_of(const std::vector<double>& counts) {
  for (const double count : counts) {
    if (count != counts[0]) fail_usage("train.accumulate_by: items needs losses that are means over the same items; take batches");
  }
  return counts.empty() ? 0 : counts[0];
}

/// Numbers of batches in portions: of every `size` batches those that can be used.
std::vector<std::vector<size_t>> parts_of(const std::vector<size_t>& usable, size_t size) {
  std::vector<std::vector<size_t>> out;
  for (const size_t b : usable) {
    if (out.empty() || out.back().back() / size != b / size) out.emplace_back();
    out.back().push_back(b);
  }
  return out;
}

}  // namespace training_step

/// The terms of one batch, and their sums over ranks.
struct TrainingStep::Terms {
  std::vector<std::string> names;
  std::vector<Tensor> values;
  std::vector<double> counts, total_counts, means;
  bool finite = true, finite_here = true;
};

TrainingStep::TrainingStep(const Recipe& recipe, const ModelSetup& setup, const std::vector<RunObjective>& objectives, Communicator& communicator)
    : recipe_(recipe), setup_(setup), objectives_(objectives), communicator_(communicator),
      reducer_(communicator, setup.trained, recipe.train.bucket_mb) {
  const std::string& precision = recipe.train.precision;
  if (precision != "fp32" && precision != "bf16" && precision != "fp16") {
    fail_usage("train.precision is '", precision, "'; there are: fp32, bf16, fp16");
  }
  if (precision == "fp16" && !setup.trained.at(0).tensor.is_cuda()) fail_usage("train.precision: fp16 is for GPUs; on a CPU take bf16 or fp32");
  if (recipe.train.accumulate_by != "batches" && recipe.train.accumulate_by != "items") {
    fail_usage("train.accumulate_by is '", recipe.train.accumulate_by, "'; there are: batches, items");
  }
  if (recipe.train.grad_clip_kind != "2" && recipe.train.grad_clip_kind != "inf") {
    fail_usage("train.grad_clip_kind is '", recipe.train.grad_clip_kind, "'; there are: 2, inf");
  }
  if (precision == "fp16") loss_scale_ = 65536;
  auto groups = parameter_groups(setup.trained, recipe.train.groups);
  optimizer_ = recipe.train.zero1 ? make_sharded_optimizer(std::move(groups), recipe.train.optimizer, communicator)
                                  : make_optimizer(std::move(groups), recipe.train.optimizer);
  if (recipe.train.ema.enabled) ema_ = std::make_unique<Ema>(setup.model->state(), recipe.train.ema);
}

TrainingStep::~TrainingStep() = default;

/// The terms of `part` of the batches, which are computed together: one batch, or those that a mix has side by side.
TrainingStep::Terms TrainingStep::forward(const std::vector<StepBatch>& batches, const std::vector<size_t>& part, const TrainingData& data) {
  Terms terms;
  const Autocast autocast(setup_.trained[0].tensor.device().type(), recipe_.train.precision);
  for (const auto& objective : objectives_) {
    std::vector<SourceBatch> taken;
    for (const size_t b : part) {
      const std::string& source = data.source_name(batches[b].source);
      if (objective.takes(source)) taken.push_back({source, &batches[b].batch});
    }
    if (taken.empty()) continue;
    std::vector<LossTerm> found;
    if (objective.objective->joint()) {
      found = objective.objective->joint_losses(taken);
    } else {
      for (const auto& entry : taken) {
        for (auto& term : objective.objective->losses(*entry.batch)) found.push_back(std::move(term));
      }
    }
    for (auto& term : found) {
      terms.names.push_back(objectives_.size() > 1 ? objective.name + "/" + term.name : term.name);
      terms.values.push_back(objective.weight == 1 ? term.value : term.value * objective.weight);
      terms.counts.push_back(term.count);
    }
  }
  // A mean over all ranks is that of each rank, weighed by how much it is the mean of.
  const size_t n = terms.values.size();
  std::vector<double> sums(2 * n + 1, 0.0);
  for (size_t i = 0; i < n; ++i) {
    const double value = terms.values[i].item<double>();
    if (terms.counts[i] > 0 && !std::isfinite(value)) {
      sums[2 * n] = 1;
      terms.finite_here = false;
      continue;
    }
    sums[i] = terms.counts[i];
    if (terms.counts[i] > 0) sums[n + i] = terms.counts[i] * value;
  }
  Tensor all = at::tensor(sums, at::kDouble);
  communicator_.all_reduce(all);
  const double* sum = all.const_data_ptr<double>();
  terms.finite = sum[2 * n] == 0;
  for (size_t i = 0; i < n; ++i) {
    terms.total_counts.push_back(sum[i]);
    terms.means.push_back(sum[i] > 0 ? sum[n + i] / sum[i] : 0.0);
  }
  return terms;
}

StepResult TrainingStep::run(const std::vector<StepBatch>& batches, const TrainingData& data, int64_t step, int64_t total_steps) {
  StepResult result;
  // Dropout and the like draw from a stream that step and rank name, so that a resumed run draws the same.
  auto generator = at::detail::getDefaultCPUGenerator();
  std::vector<uint64_t> stream = {static_cast<uint64_t>(recipe_.train.seed), static_cast<uint64_t>(step)};
  if (communicator_.rank() > 0) stream.push_back(static_cast<uint64_t>(communicator_.rank()));
  generator.set_current_seed(mix(stream));
  const auto device = setup_.trained[0].tensor.device();
  if (!device.is_cpu()) {
    auto there = at::globalContext().defaultGenerator(device);
    there.set_current_seed(mix(stream));
  }

  std::vector<double> sizes(batches.size(), 0.0);
  for (size_t b = 0; b < batches.size(); ++b) sizes[b] = static_cast<double>(batches[b].batch.size());
  const Tensor all_sizes = communicator_.all_gather(at::tensor(sizes, at::kDouble).unsqueeze(0)).cpu();  // [R, batches]
  std::vector<size_t> usable;
  for (size_t b = 0; b < batches.size(); ++b) {
    const Tensor column = all_sizes.select(1, static_cast<int64_t>(b));
    if (column.min().item<double>() < 1) continue;
    usable.push_back(b);
    result.samples += static_cast<int64_t>(column.sum().item<double>());
  }
  result.empty = usable.empty();
  result.lr = learning_rate(recipe_.train.schedule, recipe_.train.lr, step, total_steps, data.steps_per_epoch());
  if (result.empty) return result;

  clear_gradients(setup_.trained);
  for (const auto& objective : objectives_) {
    objective.objective->set_steps_per_epoch(data.steps_per_epoch());
    objective.objective->begin_step(step, total_steps);
  }
  // A step is the mean over its batches; those that a mix has side by side add up.
  const size_t side_by_side = recipe_.data.mix_within_step ? batches.size() / static_cast<size_t>(recipe_.train.accumulate) : 1;
  const auto batches_in_step = static_cast<double>((usable.size() + side_by_side - 1) / side_by_side);
  std::map<std::string, double> losses;
  std::vector<std::string> order;
  const bool by_items = recipe_.train.accumulate_by == "items";
  double first_items = 0, weights = 0;
  const bool together = std::any_of(objectives_.begin(), objectives_.end(), [](const auto& objective) { return objective.objective->joint(); });
  for (const auto& part : training_step::parts_of(usable, together ? side_by_side : 1)) {
    Terms terms = forward(batches, part, data);
    if (!terms.finite) {
      result.skipped = true;
      result.loss = std::numeric_limits<double>::quiet_NaN();
      if (!terms.finite_here) result.keys = training_step::some_keys(batches, part);
      clear_gradients(setup_.trained);
      return result;
    }
    // In portions of the first batch's items, so that gradients keep their size whatever is counted.
    double weight = 1;
    if (by_items) {
      weight = training_step::items_of(terms.total_counts);
      if (first_items == 0) first_items = weight;
      weight = first_items > 0 ? weight / first_items : 0;
    }
    weights += weight;
    const double divided_by = by_items ? 1 : batches_in_step;
    Tensor total;
    const auto ranks = static_cast<double>(communicator_.size());
    for (size_t i = 0; i < terms.values.size(); ++i) {
      if (terms.total_counts[i] == 0) continue;
      if (!losses.count(terms.names[i])) order.push_back(terms.names[i]);
      losses[terms.names[i]] += weight * terms.means[i] / divided_by;
      if (terms.counts[i] == 0) continue;  // a mean over nothing
      const double share = weight * terms.counts[i] * ranks / terms.total_counts[i] / divided_by * loss_scale_;
      const Tensor part = share == 1 ? terms.values[i] : terms.values[i] * share;
      total = total.defined() ? total + part : part;
    }
    if (part.back() == usable.back()) reducer_.begin();
    if (total.defined()) total.backward();
  }
  reducer_.finish();
  const double summed = by_items && weights > 0 ? weights : 1;
  for (const auto& name : order) {
    result.terms.emplace_back(name, losses[name] / summed);
    result.loss += losses[name] / summed;
  }

  if (loss_scale_ * summed != 1) {
    at::NoGradGuard no_grad;
    for (const auto& [name, tensor] : setup_.trained) {
      if (tensor.grad().defined()) tensor.mutable_grad().mul_(1 / (loss_scale_ * summed));
    }
  }
  const double norm_order = recipe_.train.grad_clip_kind == "inf" ? std::numeric_limits<double>::infinity() : 2;
  result.gradient_norm = clip_gradients(setup_.trained, recipe_.train.grad_clip_norm, norm_order);
  const bool finite = std::isfinite(result.gradient_norm);
  if (recipe_.train.precision == "fp16") {
    // A scale that overflows is halved; one that has held for long is doubled.
    if (!finite) {
      loss_scale_ /= 2;
      good_steps_ = 0;
      result.skipped = loss_scale_ < 1;
      loss_scale_ = std::max(loss_scale_, 1.0);
      return result;
    }
    if (++good_steps_ >= 2000) {
      loss_scale_ *= 2;
      good_steps_ = 0;
    }
  } else if (!finite) {
    result.skipped = true;
    result.keys = training_step::some_keys(batches, usable);
    return result;
  }
  if (has_own_rates(recipe_.train.schedule)) {
    optimizer_->scale_steps([&](double lr_scale) {
      const double rate = learning_rate(recipe_.train.schedule, recipe_.train.lr * lr_scale, step, total_steps, data.steps_per_epoch());
      return result.lr * lr_scale != 0 ? rate / (result.lr * lr_scale) : 1;
    });
  }
  optimizer_->step(result.lr);
  setup_.model->after_step();
  if (ema_) ema_->update(step, total_steps);
  return result;
}

nlohmann::ordered_json TrainingStep::state() const { return {{"loss_scale", loss_scale_}, {"good_steps", good_steps_}}; }

void TrainingStep::load_state(const nlohmann::json& state) {
  if (recipe_.train.precision != "fp16") return;
  loss_scale_ = state.value("loss_scale", loss_scale_);
  good_steps_ = state.value("good_steps", good_steps_);
}

}  // namespace vlm
