#include "vlm/train/trainer.h"

#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "vlm/core/config_json.h"
#include "vlm/core/error.h"
#include "vlm/core/log.h"
#include "vlm/core/progress.h"
#include "vlm/core/strings.h"
#include "vlm/infer/save_model.h"
#include "vlm/io/atomic_file.h"
#include "vlm/io/crc32c.h"
#include "vlm/io/safetensors.h"
#include "vlm/models/model_folder.h"
#include "vlm/models/snapshot.h"
#include "vlm/train/checkpoint.h"
#include "vlm/train/device.h"
#include "vlm/train/evaluation.h"
#include "vlm/train/model_setup.h"
#include "vlm/train/run_folder.h"
#include "vlm/train/run_log.h"
#include "vlm/train/training_data.h"
#include "vlm/train/training_step.h"

namespace vlm {

namespace fs = std::filesystem;

namespace trainer {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

/// Memory that this process holds, in MB.
int64_t resident_mb() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (starts_with(line, "VmRSS:")) return std::atoll(line.c_str() + 6) / 1024;
  }
  return 0;
}

class Run {
 public:
  Run(const Recipe& recipe, const TrainerOptions& options)
      : recipe_(recipe), options_(options), out_(recipe.out), own_group_(make_single_communicator()),
        group_(options.communicator ? *options.communicator : *own_group_) {
    check_numbers();
    if (group_.is_first() && !options.dry_run) lock_ = std::make_unique<RunFolderLock>(out_);
    resume_from_ = agreed_checkpoint();
    use_device(options_.device);
    allow_tf32(recipe_.train.tf32);
    setup_ = set_up_model(recipe_, options_.device);
    objectives_ = make_run_objectives(recipe_, setup_, group_);
    setup_.preprocess = preprocess_of_run(setup_, objectives_);
    data_ = std::make_unique<TrainingData>(recipe_, objectives_, setup_.preprocess, group_.rank(), group_.size(), options_.device);
    if (!recipe_.data.val.path.empty() && group_.is_first()) validation_ = open_source(recipe_.data.val);
    open_further_evaluations();
    evaluation_ = recipe_.eval.name.empty() ? objectives_[0].objective->evaluation() : recipe_.eval.name;
    step_maker_ = std::make_unique<TrainingStep>(recipe_, setup_, objectives_, group_);
    total_steps_ = data_->total_steps();
    check_that_all_see_the_same();
    if (!resume_from_.empty()) resume();
  }

  TrainResult write_initial_state() {
    TrainResult result;
    result.finished = true;
    result.model = out_ / "init";
    const auto batches = data_->next();
    if (group_.is_first()) {
      const Batch& first = batches.at(0).batch;
      write_file_atomically(out_ / "recipe.json", to_json(recipe_).dump(2) + "\n");
      write_safetensors(out_ / "first_batch.safetensors",
                        {{"images", first.images.cpu()}, {"ids", first.ids.cpu()}, {"numbers", at::tensor(first.numbers, at::kLong)}});
      write_model(*setup_.model, result.model);
    }
    group_.barrier();
    return result;
  }

  TrainResult dry_run() {
    const auto batches = data_->next();
    setup_.model->set_training(true);
    const auto begin = Clock::now();
    const StepResult made = step_maker_->run(batches, *data_, step_, total_steps_);
    if (made.empty) fail("the first batch has no sample that can be used (see vlm data check)");
    if (made.skipped) fail("the first step's loss or gradient is no number (samples ", made.keys, ")");
    if (group_.is_first()) {
      log_info("one step of ", made.samples, " samples in ", human_seconds(seconds_since(begin)), ": loss ", made.loss, ", gradient norm ", made.gradient_norm);
      if (validation_ && !evaluation_.empty()) {
        EvaluationOptions few = recipe_.eval;
        few.limit = few.limit > 0 ? std::min<int64_t>(few.limit, 64) : 64;
        const WeightsOnCpu on_cpu(*setup_.model);
        const auto found = evaluate_in_training(evaluation_, setup_.model, setup_.tokenizer, setup_.preprocess, *validation_, few);
        log_info("evaluation (", evaluation_, ") of ", few.limit, " samples: ", found.headline);
      }
      log_info("dry run: nothing was written; the whole run is ", total_steps_, " steps");
    }
    group_.barrier();
    TrainResult result;
    result.finished = true;
    result.steps = 1;
    result.last_loss = made.loss;
    return result;
  }

  TrainResult train() {
    const auto begin = Clock::now();
    if (group_.is_first()) {
      write_file_atomically(out_ / "recipe.json", to_json(recipe_).dump(2) + "\n");
      log_ = std::make_unique<RunLog>(out_, step_, RunLogOptions{.tensorboard = recipe_.train.tensorboard});
      log_->text("recipe", step_, "```json\n" + to_json(recipe_).dump(2) + "\n```");
      say_what_comes();
    }
    writer_ = std::make_unique<CheckpointWriter>(out_, recipe_.train.keep_last, group_);
    last_save_ = Clock::now();
    Progress bar("training", options_.progress && group_.is_first() ? total_steps_ : 0, "steps");
    bar.set_start(step_);
    TrainResult result;
    bool stopped_early = early_stop_due();
    while (step_ < total_steps_ && !stopped_early) {
      train_step(bar);
      stopped_early = after_step();
      if (step_ == total_steps_ || stopped_early) break;
      const Wishes wishes = agree();
      if (wishes.stop) return stop_here(bar);
      if (wishes.save && step_ > saved_at_) save(false, recipe_.train.save_in_background, false);
    }
    if (group_.is_first()) bar.finish();
    data_->finish();
    if (evaluated_at_ != step_) evaluate();
    if (saved_at_ != step_) save(is_best(), false, true);
    if (!writer_->wait()) fail("the last checkpoint could not be written; see the warning above");
    result.finished = true;
    result.stopped_early = stopped_early && step_ < total_steps_;
    result.steps = step_;
    result.last_loss = recent_loss();
    result.skipped_steps = skipped_;
    result.model = out_ / "model";
    if (group_.is_first()) {
      result.checkpoint = latest_checkpoint(out_);
      write_model(*final_model(), result.model);
    }
    group_.barrier();
    result.seconds = seconds_since(begin);
    return result;
  }

 private:
  /// What any rank asks for.
  struct Wishes {
    bool stop = false, save = false;
  };

  void check_numbers() const {
    const TrainRecipe& train = recipe_.train;
    if (train.steps < 0) fail_usage("train.steps must not be negative, and is ", train.steps);
    if (train.steps == 0 && train.epochs < 1) fail_usage("train.epochs must be at least 1, and is ", train.epochs);
    if (!std::isfinite(train.lr) || train.lr < 0) fail_usage("train.lr must be a number of at least 0, and is ", train.lr);
    if (train.ema.enabled && !(train.ema.decay >= 0 && train.ema.decay <= 1)) fail_usage("train.ema.decay must be from 0 to 1, and is ", train.ema.decay);
    if (train.keep_last < 1) fail_usage("train.keep_last must be at least 1, and is ", train.keep_last);
  }

  /// The first rank chooses, and all take the same.
  fs::path agreed_checkpoint() {
    if (options_.dry_run || options_.init_only) return {};
    fs::path found;
    if (group_.is_first()) found = checkpoint_to_resume(out_, options_.resume);
    if (group_.size() == 1) return found;
    double step = -1;
    if (!found.empty()) step = nlohmann::json::parse(read_file(found / "trainer.json")).value("step", -1.0);
    const auto steps = group_.all_gather_number(step);
    if (steps[0] < 0) return {};
    if (!group_.is_first()) {
      found = options_.resume == "auto" ? out_ : fs::path(options_.resume);
      char name[32];
      std::snprintf(name, sizeof name, "step-%08ld", static_cast<long>(steps[0]));
      if (!fs::exists(found / "trainer.json")) found = found / "checkpoints" / name;
      if (!fs::exists(found / "trainer.json")) fail("rank ", group_.rank(), " does not see ", found.string(), ", which the first rank goes on from; the run's folder must be shared by all nodes");
    }
    return found;
  }

  /// Ranks that read other shards or another recipe would wait for each other for ever, or learn nonsense.
  void check_that_all_see_the_same() {
    if (group_.size() == 1) return;
    nlohmann::ordered_json recipe = to_json(recipe_);
    // Each node may have its own copy of the files somewhere else.
    recipe.erase("out");
    recipe["data"].erase("val");
    recipe.erase("evals");
    for (const char* key : {"init", "tokenizer"}) recipe["model"].erase(key);
    recipe["data"]["train"].erase("path");
    if (recipe["data"].contains("mix") && recipe["data"]["mix"].is_object()) {
      for (auto& part : recipe["data"]["mix"]) part.erase("path");
    }
    std::string seen = recipe.dump();
    for (const auto& source : data_->sources()) seen += concat(" ", source->sizes_hash());
    const auto hashes = group_.all_gather_number(static_cast<double>(crc32c(seen)));
    const auto samples = group_.all_gather_number(static_cast<double>(data_->samples()));
    for (size_t r = 1; r < hashes.size(); ++r) {
      if (samples[r] != samples[0]) {
        fail_usage("rank ", r, " sees ", static_cast<int64_t>(samples[r]), " samples, rank 0 sees ", static_cast<int64_t>(samples[0]),
                   "; all nodes need the same shards");
      }
      if (hashes[r] != hashes[0]) fail_usage("rank ", r, " has another recipe or other shards than rank 0; all ranks are started with the same command");
    }
  }

  void say_what_comes() const {
    int64_t parameters = 0, all = 0;
    for (const auto& [name, tensor] : setup_.trained) parameters += tensor.numel();
    for (const auto& [name, tensor] : setup_.model->trainable()) all += tensor.numel();
    std::string of;
    if (all != parameters) of = concat(" of ", all);
    std::string length = concat(total_steps_, " steps");
    if (data_->steps_per_epoch() > 0) length += concat(", ", data_->steps_per_epoch(), " an epoch");
    const std::string ranks = group_.size() > 1 ? concat(" on ", group_.size(), " ranks") : "";
    log_info("training ", parameters, of, " parameters of a ", setup_.model->family(), " model on ", data_->samples(), " samples: ", length, ranks);
  }

  Wishes agree() {
    const bool old = recipe_.train.save_every_minutes > 0 && seconds_since(last_save_) > 60 * recipe_.train.save_every_minutes;
    const double wish = (options_.should_stop() ? 2 : 0) + (group_.is_first() && old ? 1 : 0);
    Wishes wishes;
    for (const double other : group_.all_gather_number(wish)) {
      wishes.stop = wishes.stop || other >= 2;
      wishes.save = wishes.save || other == 1 || other == 3;
    }
    return wishes;
  }

  TrainResult stop_here(Progress& bar) {
    if (saved_at_ != step_) save(is_best(), false, true);
    if (!writer_->wait()) fail("the checkpoint could not be written; see the warning above");
    if (group_.is_first()) bar.finish();
    group_.barrier();
    TrainResult result;
    result.steps = step_;
    result.skipped_steps = skipped_;
    if (group_.is_first()) result.checkpoint = latest_checkpoint(out_);
    return result;
  }

  void resume() {
    with_context("resuming from " + resume_from_.string(), [&] {
      const auto state = nlohmann::json::parse(read_file(resume_from_ / "trainer.json"), nullptr, false);
      if (!state.is_object() || !state.contains("step") || !state.contains("total_steps")) fail("trainer.json is no trainer state");
      const int64_t planned = state.at("total_steps");
      if (group_.is_first() && state.contains("recipe")) {
        check_recipe_goes_on(nlohmann::ordered_json::parse(state["recipe"].dump()), to_json(recipe_));
      }
      // Ranks that share shards unevenly can make an epoch a step shorter or longer; the schedule stays as it was planned.
      const bool other_ranks = state.value("ranks", int64_t(1)) != group_.size();
      if (planned != total_steps_ && !other_ranks) {
        fail_usage("the run was planned for ", planned, " steps, the recipe now asks for ", total_steps_,
                   "; start anew with --resume none, or in another folder with out=DIR");
      }
      total_steps_ = planned;
      fill_weights(*setup_.model, weights_of(*load_model(resume_from_).model));
      step_maker_->optimizer().load_state(read_optimizer_state(resume_from_));
      if (Ema* ema = step_maker_->ema()) {
        if (!fs::exists(resume_from_ / "ema.safetensors")) fail_usage("train.ema.enabled: the run was begun without a moving average");
        ema->load_state(read_safetensors(resume_from_ / "ema.safetensors"));
      }
      data_->resume(nlohmann::json::parse(read_file(resume_from_ / "cursor.json")));
      step_ = saved_at_ = state.at("step");
      epoch_loss_sum_ = state.value("epoch_loss_sum", 0.0);
      epoch_steps_ = state.value("epoch_steps", int64_t(0));
      epoch_loss_ = state.value("epoch_loss", 0.0);
      skipped_ = state.value("skipped", int64_t(0));
      evaluated_at_ = state.value("evaluated_at", int64_t(-1));
      improved_at_ = state.value("improved_at", int64_t(-1));
      evaluations_without_ = state.value("evaluations_without", int64_t(0));
      if (state.contains("best") && state["best"].is_number()) best_ = state["best"];
      if (state.contains("step_state")) step_maker_->load_state(state["step_state"]);
      if (group_.is_first()) log_info("going on from ", resume_from_.string(), " (step ", step_, " of ", total_steps_, ")");
    });
  }

  void train_step(Progress& bar) {
    const auto begin = Clock::now();
    const double waited_before = data_->wait_seconds();
    setup_.model->set_training(true);
    const auto batches = data_->next();
    const StepResult made = step_maker_->run(batches, *data_, step_, total_steps_);
    data_->mark_used();
    step_ += 1;
    if (made.empty) {
      if (group_.is_first()) log_warning("step ", step_, " had a rank without a sample that could be used, and was passed over");
      return;
    }
    guard_against_nan(made);
    if (!made.skipped) {
      epoch_loss_sum_ += made.loss;
      epoch_steps_ += 1;
    }
    if (!group_.is_first()) return;
    if (options_.on_step) options_.on_step(step_, made.loss);
    const double seconds = std::max(1e-9, seconds_since(begin));
    const double waited = data_->wait_seconds() - waited_before;
    nlohmann::ordered_json entry = {{"step", step_}, {"epoch", data_->epoch()}};
    if (made.skipped) {
      entry["skipped"] = true;
    } else {
      entry["loss"] = made.loss;
      for (const auto& [name, value] : made.terms) entry["losses"][name] = value;
      entry["grad_norm"] = made.gradient_norm;
    }
    entry["lr"] = made.lr;
    for (const auto& objective : objectives_) {
      for (const auto& [name, value] : objective.objective->metrics()) entry[name] = value;
    }
    entry["samples_per_second"] = static_cast<double>(made.samples) / seconds;
    entry["data_wait"] = waited / seconds;
    entry["memory_mb"] = resident_mb();
    log_->step(entry);
    show(bar, made, static_cast<double>(made.samples) / seconds, waited / seconds);
  }

  void guard_against_nan(const StepResult& made) {
    in_a_row_ = made.skipped ? in_a_row_ + 1 : 0;
    if (!made.skipped) return;
    skipped_ += 1;
    const std::string where = made.keys.empty() ? " on another rank" : concat(" (samples ", made.keys, ")");
    const std::string what = concat("step ", step_, ": ", std::isfinite(made.loss) ? "the gradient" : "the loss", " is no number", where);
    if (in_a_row_ >= std::max<int64_t>(1, recipe_.train.nan_limit)) {
      fail(what, ", ", in_a_row_, " steps in a row; look at these samples, or try a smaller train.lr or train.grad_clip_norm=1. "
           "The last checkpoint is untouched");
    }
    if (group_.is_first() || (!made.keys.empty() && !std::isfinite(made.loss))) log_warning(what, "; the step was skipped");
  }

  void show(Progress& bar, const StepResult& made, double rate, double waited) {
    rate_ = rate_ == 0 ? rate : 0.9 * rate_ + 0.1 * rate;
    std::string losses;
    char text[160];
    if (made.terms.size() > 1) {
      for (const auto& [name, value] : made.terms) {
        std::snprintf(text, sizeof text, "%s%s %.3f", losses.empty() ? " (" : ", ", name.c_str(), value);
        losses += text;
      }
      losses += ")";
    }
    std::string epoch;
    if (data_->steps_per_epoch() > 0) epoch = concat("epoch ", data_->epoch() + 1, ", ");
    std::snprintf(text, sizeof text, ", lr %.1e, %.0f samples/s, data wait %.0f %%, %ld MB", made.lr, rate_, 100 * waited, static_cast<long>(resident_mb()));
    char loss[32];
    std::snprintf(loss, sizeof loss, "loss %.3f", made.loss);
    if (options_.progress) bar.update(step_, epoch + loss + losses + text);
  }

  /// Evaluates and saves where that is due; true if the run is to end early.
  bool after_step() {
    const TrainRecipe& train = recipe_.train;
    const bool last = step_ == total_steps_;
    bool evaluate_now = train.eval_every_steps > 0 && step_ % train.eval_every_steps == 0;
    bool save_now = train.save_every_steps > 0 && step_ % train.save_every_steps == 0;
    if (data_->epoch_ended()) {
      const int64_t epochs = data_->epoch() + 1;
      const auto due = [&](int64_t every) { return every > 0 && epochs % every == 0; };
      if (train.eval_every_steps == 0) evaluate_now = evaluate_now || due(train.eval_every_epochs);
      save_now = save_now || due(train.save_every_epochs);
      end_epoch();
    } else if (data_->steps_per_epoch() == 0 && epoch_steps_ >= 100) {
      end_epoch();
    }
    bool stop = false;
    if (evaluate_now || last) {
      evaluate();
      stop = early_stop_due();
    }
    const bool improved = is_best();
    if (save_now || last || improved || stop) save(improved, train.save_in_background && !last, last || stop);
    return stop;
  }

  void end_epoch() {
    epoch_loss_ = epoch_steps_ > 0 ? epoch_loss_sum_ / static_cast<double>(epoch_steps_) : 0;
    epoch_loss_sum_ = 0;
    epoch_steps_ = 0;
  }

  /// The mean over the epoch so far, or over the last one.
  double recent_loss() const { return epoch_steps_ > 0 ? epoch_loss_sum_ / static_cast<double>(epoch_steps_) : epoch_loss_; }

  bool is_best() const { return recipe_.train.keep_best && improved_at_ == step_; }

  bool early_stop_due() const { return recipe_.train.patience > 0 && evaluations_without_ >= recipe_.train.patience; }

  /// All ranks read the keys, so that a wrong one ends all of them; the first one opens the data.
  void open_further_evaluations() {
    if (recipe_.evals.empty()) return;
    const nlohmann::ordered_json all = recipe_.evals.to_json();
    for (const auto& [name, keys] : all.items()) {
      FurtherEvaluation further;
      with_context("evals." + name, [&, &name = name] {
        recipe_.evals.section(name).read(further);
        if (further.data.path.empty()) fail_usage("data.path is missing");
        if (name == "validation") fail_usage("that is what the evaluation of data.val is called");
        if (further.name.empty()) further.name = name;
        further_.push_back({name, further, group_.is_first() ? std::shared_ptr<const Source>(open_source(further.data)) : nullptr});
      });
    }
  }

  void evaluate_further() {
    for (const auto& [name, options, source] : further_) {
      const EvaluationResult found = evaluate_in_training(options.name, setup_.model, setup_.tokenizer, setup_.preprocess, *source, options);
      nlohmann::ordered_json entry = {{"step", step_}, {"epoch", data_->epoch()}, {"eval", name}};
      entry["metrics"] = found.metrics;
      entry["report"] = found.report;
      log_->evaluation(entry);
      log_info("step ", step_, ", ", name, ": ", found.headline);
    }
  }

  /// The first rank evaluates, the others wait and hear what came of it.
  void evaluate() {
    evaluated_at_ = step_;
    double value = 0, known = 0;
    const bool validated = validation_ && !evaluation_.empty();
    std::unique_ptr<Ema::Swap> swap;
    std::unique_ptr<WeightsOnCpu> on_cpu;
    if (group_.is_first() && (validated || !further_.empty())) {
      if (Ema* ema = step_maker_->ema()) swap = std::make_unique<Ema::Swap>(*ema);
      setup_.model->set_training(false);
      on_cpu = std::make_unique<WeightsOnCpu>(*setup_.model);
      evaluate_further();
    }
    if (validated) {
      const EvaluationResult found = evaluate_in_training(evaluation_, setup_.model, setup_.tokenizer, setup_.preprocess, *validation_, recipe_.eval);
      nlohmann::ordered_json entry = {{"step", step_}, {"epoch", data_->epoch()}, {"eval", "validation"}};
      entry["metrics"] = found.metrics;
      entry["report"] = found.report;
      log_->evaluation(entry);
      try {
        write_samples(out_, step_, "validation", found);
      } catch (const Error& error) {
        log_warning(error.what(), "; training goes on without these examples");
      }
      std::string when = concat("step ", step_);
      if (data_->steps_per_epoch() > 0) when = concat("epoch ", data_->epoch() + 1);
      log_info(when, ": loss ", std::lround(1000 * recent_loss()) / 1000.0, ", validation ", found.headline);
      const std::string metric = recipe_.train.best_metric.empty() ? found.main_metric : recipe_.train.best_metric;
      if (!metric.empty()) {
        const auto it = found.metrics.find(metric);
        if (it == found.metrics.end()) fail_usage("train.best_metric: the evaluation has no '", metric, "'");
        known = 1;
        value = higher_is_better(metric) ? it->second : -it->second;
      }
    }
    on_cpu.reset();
    swap.reset();
    const double all_known = group_.all_gather_number(known)[0];
    value = group_.all_gather_number(value)[0];
    if (all_known == 0) return;
    if (std::isfinite(value) && (!best_ || value > *best_)) {
      best_ = value;
      improved_at_ = step_;
      evaluations_without_ = 0;
    } else {
      evaluations_without_ += 1;
      if (early_stop_due() && group_.is_first()) log_info("no better evaluation ", evaluations_without_, " times in a row: the run ends here (train.patience)");
    }
  }

  void write_model(const Model& model, const fs::path& folder) const {
    if (setup_.adapter) {
      save_adapter_folder(folder, model, *setup_.adapter, setup_.preprocess, setup_.tokenizer_path);
    } else {
      save_model_folder(folder, model, setup_.preprocess, setup_.tokenizer_path);
    }
  }

  /// The weights to be used: the average where there is one.
  std::unique_ptr<Model> final_model() const { return snapshot_of(*setup_.model, step_maker_->ema() ? step_maker_->ema()->state() : TensorMap()); }

  /// `must`: it is the last one, and the run fails without it.
  void save(bool best, bool in_background, bool must) {
    CheckpointContent content;
    content.step = step_;
    content.best = best;
    content.sharded = recipe_.train.zero1 && group_.size() > 1;
    const auto copy = [](const TensorMap& tensors) {
      at::NoGradGuard no_grad;
      TensorMap out;
      for (const auto& [name, tensor] : tensors) out[name] = tensor.is_cpu() ? tensor.detach().clone() : tensor.detach().cpu();
      return out;
    };
    if (group_.is_first() || content.sharded) content.optimizer = copy(step_maker_->optimizer().state());
    if (group_.is_first()) {
      const std::shared_ptr<const Model> model = snapshot_of(*setup_.model);
      content.write_model = [this, model](const fs::path& folder) { write_model(*model, folder); };
      if (const Ema* ema = step_maker_->ema()) content.ema = copy(ema->state());
      content.cursor = data_->cursor(step_);
      content.trainer = {{"step", step_},
                         {"total_steps", total_steps_},
                         {"ranks", group_.size()},
                         {"epoch_loss_sum", epoch_loss_sum_},
                         {"epoch_steps", epoch_steps_},
                         {"epoch_loss", epoch_loss_},
                         {"skipped", skipped_},
                         {"evaluated_at", evaluated_at_},
                         {"improved_at", improved_at_},
                         {"evaluations_without", evaluations_without_},
                         {"step_state", step_maker_->state()},
                         {"recipe", to_json(recipe_)}};
      if (best_) content.trainer["best"] = *best_;
    }
    try {
      writer_->write(std::move(content), in_background);
    } catch (const Error& error) {
      // The last one is what the run is for; before it there is still time for somebody to make room.
      if (must) throw;
      log_warning(error.what(), "; training goes on, and the checkpoints before it are as they were");
    }
    saved_at_ = step_;
    last_save_ = Clock::now();
  }

  Recipe recipe_;
  TrainerOptions options_;
  fs::path out_, resume_from_;
  std::unique_ptr<Communicator> own_group_;
  Communicator& group_;
  ModelSetup setup_;
  std::vector<RunObjective> objectives_;
  std::unique_ptr<TrainingData> data_;
  std::shared_ptr<const Source> validation_;
  struct Further {
    std::string name;
    EvaluationOptions options;
    std::shared_ptr<const Source> source;
  };
  std::vector<Further> further_;
  std::string evaluation_;
  std::unique_ptr<TrainingStep> step_maker_;
  std::unique_ptr<RunFolderLock> lock_;
  std::unique_ptr<RunLog> log_;
  std::unique_ptr<CheckpointWriter> writer_;
  Clock::time_point last_save_;
  int64_t total_steps_ = 0, step_ = 0, saved_at_ = -1;
  int64_t epoch_steps_ = 0, skipped_ = 0, in_a_row_ = 0;
  double epoch_loss_sum_ = 0, epoch_loss_ = 0, rate_ = 0;
  int64_t evaluated_at_ = -1, improved_at_ = -1, evaluations_without_ = 0;
  std::optional<double> best_;
};

}  // namespace trainer

TrainResult run_training(const Recipe& recipe, const TrainerOptions& options) {
  try {
    trainer::Run run(recipe, options);
    if (options.init_only) return run.write_initial_state();
    return options.dry_run ? run.dry_run() : run.train();
  } catch (const Error& error) {
    if (options.communicator) options.communicator->announce_failure(error.what());
    throw;
  } catch (const std::exception& error) {
    if (options.communicator) options.communicator->announce_failure(error.what());
    throw;
  }
}

}  // namespace vlm
