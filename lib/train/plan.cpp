#include "vlm/train/plan.h"

#include <ATen/ops/add.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "vlm/core/error.h"
#include "vlm/train/model_setup.h"
#include "vlm/train/training_data.h"

namespace vlm {

namespace plan {

namespace fs = std::filesystem;

/// What the recipe describes, put together as the trainer does.
struct Parts {
  explicit Parts(const Recipe& recipe, int64_t world_size)
      : setup(set_up_model(recipe)), objectives(make_run_objectives(recipe, setup, *communicator)),
        data(recipe, objectives, preprocess_of_run(setup, objectives), 0, world_size) {}

  std::unique_ptr<Communicator> communicator = make_single_communicator();
  ModelSetup setup;
  std::vector<RunObjective> objectives;
  TrainingData data;
};

/// Numbers that an optimiser keeps for each parameter.
double numbers_kept(const OptimizerOptions& optimizer) {
  if (optimizer.name == "sgd") return optimizer.momentum == 0 ? 0 : 1;
  if (optimizer.name == "lion") return 1;
  if (optimizer.name == "adafactor") return optimizer.adafactor.momentum > 0 ? 1.01 : 0.01;
  return optimizer.amsgrad ? 3 : 2;
}

int64_t bytes_of(const std::vector<NamedTensor>& tensors) {
  int64_t out = 0;
  for (const auto& [name, tensor] : tensors) out += static_cast<int64_t>(tensor.nbytes());
  return out;
}

int64_t numbers_of(const std::vector<NamedTensor>& tensors) {
  int64_t out = 0;
  for (const auto& [name, tensor] : tensors) out += tensor.is_floating_point() ? tensor.numel() : 0;
  return out;
}

std::vector<std::pair<std::string, int64_t>> parts_of(const std::vector<NamedTensor>& tensors) {
  std::map<std::string, int64_t> counts;
  for (const auto& [name, tensor] : tensors) {
    if (tensor.is_floating_point()) counts[name.substr(0, name.find('.'))] += tensor.numel();
  }
  std::vector<std::pair<std::string, int64_t>> out(counts.begin(), counts.end());
  std::stable_sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  return out;
}

/// Drawn pictures with what the data set says about its first samples.
Batch drawn_batch(const Objective& objective, const std::string& name, const Source& source, int64_t size) {
  const auto [height, width] = objective.image_size_of(name);
  const int64_t length = objective.text_length();
  Batch batch;
  batch.images = at::randn({size, 3, height, width});
  batch.ids = at::zeros({size, length}, at::kLong);
  batch.labels = at::full({size}, -1, at::kLong);
  batch.image_index = at::arange(size, at::kLong);
  for (int64_t i = 0; i < size; ++i) {
    Sample sample;
    try {
      sample = source.describe_number(i % source.size());
    } catch (const SampleError&) {
      sample.captions = {"a picture"};
    }
    batch.texts.push_back(sample.captions.empty() ? "a picture" : sample.captions[0]);
    batch.keys.push_back(sample.key);
    batch.numbers.push_back(i);
    if (length > 0) objective.tokenize(batch.texts.back(), batch.ids.mutable_data_ptr<int64_t>() + i * length);
    batch.samples.push_back(std::move(sample));
  }
  return batch;
}

/// A line of /proc/self/status in bytes; -1 if there is none.
int64_t status_of(const char* key) {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);) {
    if (line.rfind(key, 0) == 0) return std::strtoll(line.c_str() + std::string(key).size() + 1, nullptr, 10) * 1024;
  }
  return -1;
}

struct Measured {
  double seconds = 0;
  int64_t activation_bytes = -1;
};

class Stopwatch {
 public:
  Stopwatch(const Recipe& recipe, Parts& parts)
      : parts_(parts), optimizer_(make_optimizer(parameter_groups(parts.setup.trained, recipe.train.groups), recipe.train.optimizer)) {}

  /// The median of `steps` steps, and the most memory that one took beyond what stays: weights, gradients, moments.
  Measured measure(int64_t size, int64_t steps) {
    const Batch batch = drawn_batch(*parts_.objectives[0].objective, parts_.data.source_name(0), *parts_.data.sources()[0], size);
    std::vector<double> seconds;
    Measured out;
    for (int64_t k = 0; k < steps; ++k) {
      // What earlier steps have freed must not count as being in use; writing 5 resets the peak (proc(5)).
      malloc_trim(0);
      std::ofstream("/proc/self/clear_refs") << 5;
      const int64_t before = status_of("VmRSS:");
      const auto begin = std::chrono::steady_clock::now();
      step(batch);
      seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
      if (const int64_t peak = status_of("VmHWM:"); peak >= 0 && before >= 0) out.activation_bytes = std::max(out.activation_bytes, peak - before);
    }
    std::sort(seconds.begin(), seconds.end());
    out.seconds = seconds[seconds.size() / 2];
    return out;
  }

 private:
  /// Gradients are added up and never freed, so that only activations come and go. At a rate of 0 the weights stay.
  void step(const Batch& batch) {
    Tensor total;
    const std::string& source = parts_.data.source_name(0);
    for (const auto& objective : parts_.objectives) {
      if (!objective.takes(source)) continue;
      const bool joint = objective.objective->joint();
      for (const auto& term : joint ? objective.objective->joint_losses({{source, &batch}}) : objective.objective->losses(batch)) total = total.defined() ? at::add(total, term.value) : term.value;
    }
    total.backward();
    optimizer_->step(0);
  }
  Parts& parts_;
  std::unique_ptr<Optimizer> optimizer_;
};

void measure(TrainingPlan& out, const Recipe& recipe, Parts& parts, const PlanOptions& options) {
  parts.setup.model->set_training(true);
  Stopwatch watch(recipe, parts);
  const int64_t small = std::min<int64_t>(out.batch, 8), steps = std::max<int64_t>(1, options.steps);
  watch.measure(small, 1);  // threads start and buffers are made
  Measured measured = watch.measure(small, out.batch == small ? steps : 1);
  out.measured_batch = small;
  const double ratio = static_cast<double>(out.batch) / static_cast<double>(small);
  if (small < out.batch && measured.seconds * ratio * static_cast<double>(steps) <= options.budget_seconds) {
    measured = watch.measure(out.batch, steps);
    out.measured_batch = out.batch;
  }
  const double scale = static_cast<double>(out.batch) / static_cast<double>(out.measured_batch);
  out.step_seconds = measured.seconds * scale;
  if (measured.activation_bytes >= 0) out.activation_bytes = static_cast<int64_t>(static_cast<double>(measured.activation_bytes) * scale);
}

/// Free bytes of the file system that `folder` is going to be on.
int64_t free_bytes(fs::path folder) {
  std::error_code error;
  folder = fs::absolute(folder, error);
  while (!error && !fs::exists(folder, error) && folder.has_relative_path()) folder = folder.parent_path();
  const fs::space_info space = fs::space(folder, error);
  return error ? -1 : static_cast<int64_t>(space.available);
}

}  // namespace plan

int64_t TrainingPlan::memory_bytes() const {
  return activation_bytes < 0 ? -1 : weight_bytes + gradient_bytes + optimizer_bytes + ema_bytes + activation_bytes;
}

TrainingPlan plan_training(const Recipe& recipe, const PlanOptions& options) {
  using namespace plan;
  if (options.world_size < 1) fail_usage("the world size must be at least 1, not ", options.world_size);
  Parts parts(recipe, options.world_size);
  const auto state = parts.setup.model->state();
  TrainingPlan out;
  out.family = parts.setup.model->family();
  out.parameters = numbers_of(state);
  out.trainable = numbers_of(parts.setup.trained);
  out.parts = parts_of(state);
  out.weight_bytes = bytes_of(state);
  out.gradient_bytes = bytes_of(parts.setup.trained);
  const auto optimizer_bytes = static_cast<int64_t>(numbers_kept(recipe.train.optimizer) * static_cast<double>(out.trainable) * sizeof(float));
  out.optimizer_bytes = recipe.train.zero1 ? optimizer_bytes / options.world_size : optimizer_bytes;
  out.ema_bytes = recipe.train.ema.enabled ? out.weight_bytes : 0;
  out.checkpoint_bytes = out.weight_bytes + optimizer_bytes + out.ema_bytes;
  out.disk_free = free_bytes(recipe.out);

  out.samples = parts.data.samples();
  out.batch = parts.data.batch_size() * recipe.train.accumulate;
  out.global_batch = out.batch * options.world_size;
  out.epochs = recipe.train.steps > 0 ? 0 : recipe.train.epochs;
  out.steps_per_epoch = parts.data.steps_per_epoch();
  out.total_steps = parts.data.total_steps();
  if (options.measure) measure(out, recipe, parts, options);
  return out;
}

nlohmann::ordered_json TrainingPlan::to_json() const {
  const auto known = [](auto value) { return value < 0 ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(value); };
  nlohmann::ordered_json out = {{"family", family}, {"parameters", parameters}, {"trainable", trainable}};
  for (const auto& [name, count] : parts) out["parts"][name] = count;
  out["memory_bytes"] = {{"weights", weight_bytes}, {"gradients", gradient_bytes}, {"optimizer", optimizer_bytes}, {"ema", ema_bytes},
                         {"activations", known(activation_bytes)}, {"total", known(memory_bytes())}};
  out["samples"] = samples;
  out["batch_per_rank"] = batch;
  out["global_batch"] = global_batch;
  out["steps_per_epoch"] = steps_per_epoch;
  out["epochs"] = epochs;
  out["total_steps"] = total_steps;
  out["measured_batch"] = measured_batch;
  out["step_seconds"] = known(step_seconds);
  out["total_seconds"] = known(total_seconds());
  out["checkpoint_bytes"] = checkpoint_bytes;
  out["disk_free_bytes"] = known(disk_free);
  return out;
}

}  // namespace vlm
