#include <algorithm>
#include <cmath>
#include <cstdio>

#include "command.h"
#include "model_options.h"
#include "output.h"
#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/train/plan.h"

namespace vlm::apps {

namespace train_plan {

struct Options {
  std::string config;
  std::vector<std::string> overrides;
  int threads = 0;
  PlanOptions plan;
  bool json = false;
};

/// "2 812 345" with its unit.
std::string count(int64_t value) {
  std::string out = std::to_string(value);
  for (int64_t at = static_cast<int64_t>(out.size()) - 3; at > 0; at -= 3) out.insert(static_cast<size_t>(at), " ");
  return out;
}

std::string bytes(int64_t value) { return value < 0 ? "not known" : human_bytes(static_cast<double>(value)); }

void print(const TrainingPlan& plan, const PlanOptions& options) {
  std::vector<std::vector<std::string>> table = {{"model", plan.family, ""}};
  table.push_back({"parameters", count(plan.parameters), concat(count(plan.trainable), " are trained")});
  for (const auto& [name, parameters] : plan.parts) {
    table.push_back({"  " + name, count(parameters), percent(static_cast<double>(parameters) / static_cast<double>(std::max<int64_t>(1, plan.parameters)))});
  }
  table.push_back({"samples", count(plan.samples), ""});
  table.push_back({"batch", count(plan.global_batch), options.world_size > 1 ? concat(plan.batch, " for each of ", options.world_size, " processes") : ""});
  table.push_back({"steps", count(plan.total_steps), concat(plan.epochs, " epochs of ", plan.steps_per_epoch)});
  table.push_back({"memory", bytes(plan.memory_bytes()), options.world_size > 1 ? "each process" : ""});
  table.push_back({"  weights", bytes(plan.weight_bytes), ""});
  table.push_back({"  gradients", bytes(plan.gradient_bytes), ""});
  table.push_back({"  optimiser", bytes(plan.optimizer_bytes), concat(std::lround(100.0 * static_cast<double>(plan.optimizer_bytes) / 4 / static_cast<double>(std::max<int64_t>(1, plan.trainable))) / 100.0, " numbers for each parameter")});
  if (plan.ema_bytes > 0) table.push_back({"  moving average", bytes(plan.ema_bytes), ""});
  const std::string how = plan.measured_batch == 0           ? "not measured"
                          : plan.measured_batch < plan.batch ? concat("scaled from a batch of ", plan.measured_batch)
                                                             : concat("measured with ", plan.measured_batch, " drawn pictures");
  table.push_back({"  activations", bytes(plan.activation_bytes), how});
  if (plan.step_seconds >= 0) {
    char step[64];
    std::snprintf(step, sizeof step, "%.3g s", plan.step_seconds);
    table.push_back({"one step", step, how});
    table.push_back({"all steps", human_seconds(plan.total_seconds()), "computation alone: no data, no evaluation, no communication"});
  } else {
    table.push_back({"time", "not known", how});
  }
  table.push_back({"a checkpoint", bytes(plan.checkpoint_bytes), concat(bytes(plan.disk_free), " are free on the disk")});
  for (const auto& row : table) std::printf("%-18s %14s  %s\n", row[0].c_str(), row[1].c_str(), row[2].c_str());
}

void run(const Options& options) {
  if (options.config.empty()) fail_usage("name the recipe with --config FILE; the ones that come with vlm are in configs/");
  Config config = Config::load(options.config);
  config.override_with(options.overrides);
  Recipe recipe;
  config.read(recipe);
  set_threads(options.threads);
  const TrainingPlan plan = plan_training(recipe, options.plan);
  options.json ? print_json(plan.to_json()) : print(plan, options.plan);
}

}  // namespace train_plan

void add_train_plan(CLI::App& app) {
  auto options = std::make_shared<train_plan::Options>();
  CLI::App* command = add_command(app, "train-plan", "What a recipe will cost, before it is run: parameters, memory, steps, time, disk",
                                  "vlm train-plan --config configs/tiny/clip_pictures.yaml data.batch_size=128", [options] { train_plan::run(*options); });
  command->add_option("--config", options->config, "The recipe, a YAML file");
  command->add_option("overrides", options->overrides, "Keys of the recipe to change, as data.batch_size=64");
  command->add_option("--world-size", options->plan.world_size, "Processes that train together")->capture_default_str()->check(at_least_one);
  command->add_flag("--measure,!--no-measure", options->plan.measure, "Time a few steps on drawn pictures (default: yes)");
  command->add_option("--steps", options->plan.steps, "How many steps are timed")->capture_default_str()->check(at_least_one);
  command->add_option("--threads", options->threads, "Threads of the computation (default: all cores)");
  command->add_flag("--json", options->json, "Print JSON");
}

}  // namespace vlm::apps
