#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "command.h"
#include "model_options.h"
#include "output.h"
#include "vlm/core/error.h"
#include "vlm/core/log.h"
#include "vlm/core/strings.h"
#include "vlm/train/device.h"
#include "vlm/train/launch_environment.h"
#include "vlm/train/process_group.h"
#include "vlm/train/trainer.h"

namespace vlm::apps {

namespace pretrain {

volatile std::sig_atomic_t stop_asked = 0;

void ask_to_stop(int signal) {
  // Who asks twice does not want to wait for a checkpoint.
  if (stop_asked && signal == SIGINT) std::signal(SIGINT, SIG_DFL);
  stop_asked = 1;
}

struct Options {
  bool finetune = false;
  std::string config, resume = "auto", model, device = "auto";
  std::vector<std::string> overrides;
  int threads = 0;
  int64_t seed = -1;
  bool json = false, print_recipe = false, dry_run = false, init_only = false;
};

std::unique_ptr<Communicator> join_the_others(const RankEnvironment& ranks, const c10::Device& device) {
  ProcessGroupOptions group;
  group.rank = ranks.rank;
  group.world_size = ranks.world_size;
  group.master_addr = ranks.master_addr;
  group.master_port = ranks.master_port;
  group.store_is_hosted = ranks.store_is_hosted;
  // A store that outlives the ranks still holds what they said in the life before.
  if (ranks.store_is_hosted) group.store_prefix = concat("/", ranks.restart_count);
  group.device = device;
  group.silence_seconds = static_cast<double>(ranks.silence_seconds);
  return make_process_group(group);
}

void run(const Options& options) {
  Config config = options.config.empty() ? Config::parse("{}", "command line") : Config::load(options.config);
  config.override_with(options.overrides);
  Recipe recipe;
  config.read(recipe);
  if (options.seed >= 0) recipe.train.seed = recipe.data.loader.seed = options.seed;
  if (!options.model.empty()) recipe.model.init = options.model;
  if (options.print_recipe) {
    std::fputs(describe(recipe).c_str(), stdout);
    return;
  }
  if (options.config.empty()) fail_usage("name the recipe with --config FILE; the ones that come with vlm are in configs/");
  if (options.finetune && recipe.model.init.empty()) {
    fail_usage("finetune needs a model to start from: --model FOLDER, or model.init in the recipe ('vlm pretrain' makes new ones)");
  }
  const RankEnvironment ranks = read_launch_environment();
  if (const char* tasks = std::getenv("SLURM_NTASKS"); tasks && ranks.launcher.empty() && std::atoi(tasks) > 1) {
    log_warning("SLURM_NTASKS is ", tasks, ", but this process was not started by srun and trains alone: put srun before the command");
  }
  set_threads(options.threads);
  std::signal(SIGINT, ask_to_stop);
  std::signal(SIGTERM, ask_to_stop);
  std::signal(SIGUSR1, ask_to_stop);
  std::signal(SIGUSR2, ask_to_stop);
  // A file that may not grow any more is an error like a full disk, not a reason to die without a word.
  std::signal(SIGXFSZ, SIG_IGN);
  const c10::Device device = parse_device(options.device, ranks.local_rank);
  if (ranks.rank != 0) set_log_level(LogLevel::quiet);
  const auto group = join_the_others(ranks, device);
  TrainerOptions trainer;
  trainer.resume = options.resume;
  trainer.dry_run = options.dry_run;
  trainer.init_only = options.init_only;
  trainer.should_stop = [] { return stop_asked != 0; };
  trainer.communicator = group.get();
  trainer.device = device;
  const TrainResult result = run_training(recipe, trainer);
  if (!result.finished) {
    if (ranks.rank == 0) log_info("stopped at step ", result.steps, "; the same command goes on from ", result.checkpoint.string());
    throw Exit{static_cast<int>(ExitCode::interrupted)};
  }
  if (ranks.rank != 0 || options.dry_run) return;
  if (options.init_only) {
    std::printf("%s: the model before its first step\n", result.model.c_str());
    return;
  }
  if (options.json) {
    print_json({{"model", result.model.string()}, {"steps", result.steps}, {"loss", result.last_loss}, {"seconds", result.seconds},
                {"stopped_early", result.stopped_early}, {"skipped_steps", result.skipped_steps}});
  } else {
    std::printf("%s: trained %ld steps in %s, loss %.3f\n", result.model.c_str(), static_cast<long>(result.steps),
                human_seconds(result.seconds).c_str(), result.last_loss);
  }
}

void add(CLI::App& app, bool finetune) {
  auto options = std::make_shared<pretrain::Options>();
  options->finetune = finetune;
  CLI::App* command =
      finetune ? add_command(app, "finetune", "Train a model further, on a data set or a task of its own",
                             "vlm finetune --config configs/blip/caption_coco.yaml --model models/blip out=runs/caption", [options] { pretrain::run(*options); })
               : add_command(app, "pretrain", "Train a model from a recipe",
                             "vlm pretrain --config configs/tiny/clip_pictures.yaml out=runs/first train.lr=5e-4", [options] { pretrain::run(*options); });
  command->add_option("--config", options->config, "The recipe, a YAML file");
  command->add_option("overrides", options->overrides, "Keys of the recipe to change, as train.lr=1e-4 data.batch_size=64");
  command->add_option("--model", options->model, "Model folder to start from (model.init)");
  command->add_option("--resume", options->resume, "auto (go on from the newest checkpoint in the run's folder), none, or a checkpoint")->capture_default_str();
  command->add_option("--device", options->device, "cpu, cuda, cuda:N or auto")->capture_default_str();
  command->add_option("--threads", options->threads, "Threads of the computation (default: all cores)");
  command->add_option("--seed", options->seed, "Sets train.seed and data.seed");
  command->add_flag("--dry-run", options->dry_run, "Open data and model, make one step and a short evaluation, write nothing");
  command->add_flag("--init-only", options->init_only, "Write what the first step finds, RUN/init (the model) and RUN/first_batch.safetensors, and stop")->excludes("--dry-run");
  command->add_flag("--json", options->json, "Print JSON at the end");
  command->add_flag("--print-recipe", options->print_recipe, "Print every key with its value and what it means, and stop");
  command->footer(command->get_footer() + "\nSeveral processes: vlm launch -n 4 -- " + (finetune ? "finetune" : "pretrain") +
                  " …, torchrun, srun or mpirun. SIGTERM, SIGINT, SIGUSR1 and SIGUSR2 write a checkpoint and end\n"
                  "with exit code 75; the same command goes on from there.");
}

}  // namespace pretrain

void add_pretrain(CLI::App& app) { pretrain::add(app, false); }
void add_finetune(CLI::App& app) { pretrain::add(app, true); }

}  // namespace vlm::apps
