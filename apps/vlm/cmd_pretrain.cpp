#include <csignal>
#include <cstdio>

#include "command.h"
#include "model_options.h"
#include "output.h"
#include "vlm/core/error.h"
#include "vlm/core/log.h"
#include "vlm/core/strings.h"
#include "vlm/train/trainer.h"

namespace vlm::apps {

namespace pretrain {

volatile std::sig_atomic_t stop_asked = 0;

void ask_to_stop(int) { stop_asked = 1; }

struct Options {
  std::string config, resume = "auto";
  std::vector<std::string> overrides;
  int threads = 0;
  int64_t seed = -1;
  bool json = false, print_recipe = false;
};

void run(const Options& options) {
  Config config = options.config.empty() ? Config::parse("{}", "command line") : Config::load(options.config);
  config.override_with(options.overrides);
  Recipe recipe;
  config.read(recipe);
  if (options.seed >= 0) recipe.train.seed = recipe.data.loader.seed = options.seed;
  if (options.print_recipe) {
    std::fputs(describe(recipe).c_str(), stdout);
    return;
  }
  if (options.config.empty()) fail_usage("name the recipe with --config FILE; the ones that come with vlm are in configs/");
  set_threads(options.threads);
  std::signal(SIGINT, ask_to_stop);
  std::signal(SIGTERM, ask_to_stop);
  std::signal(SIGUSR1, ask_to_stop);
  TrainerOptions trainer;
  trainer.resume = options.resume;
  trainer.should_stop = [] { return stop_asked != 0; };
  const TrainResult result = run_training(recipe, trainer);
  if (!result.finished) {
    log_info("stopped at step ", result.steps, "; the same command goes on from ", result.checkpoint.string());
    throw Exit{static_cast<int>(ExitCode::interrupted)};
  }
  if (options.json) {
    print_json({{"model", result.model.string()}, {"steps", result.steps}, {"loss", result.last_loss}, {"seconds", result.seconds}});
  } else {
    std::printf("%s: trained %ld steps in %s, loss %.3f\n", result.model.c_str(), static_cast<long>(result.steps),
                human_seconds(result.seconds).c_str(), result.last_loss);
  }
}

}  // namespace pretrain

void add_pretrain(CLI::App& app) {
  auto options = std::make_shared<pretrain::Options>();
  CLI::App* command = add_command(app, "pretrain", "Train a model from a recipe",
                                  "vlm pretrain --config configs/tiny/clip_pictures.yaml out=runs/first train.lr=5e-4", [options] { pretrain::run(*options); });
  command->add_option("--config", options->config, "The recipe, a YAML file");
  command->add_option("overrides", options->overrides, "Keys of the recipe to change, as train.lr=1e-4 data.batch_size=64");
  command->add_option("--resume", options->resume, "auto (go on from the newest checkpoint in the run's folder), none, or a checkpoint")->capture_default_str();
  command->add_option("--threads", options->threads, "Threads of the computation (default: all cores)");
  command->add_option("--seed", options->seed, "Sets train.seed and data.seed");
  command->add_flag("--json", options->json, "Print JSON at the end");
  command->add_flag("--print-recipe", options->print_recipe, "Print every key with its value and what it means, and stop");
}

}  // namespace vlm::apps
