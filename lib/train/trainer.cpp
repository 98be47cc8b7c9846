#include "vlm/train/trainer.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/add.h>
#include <c10/core/GradMode.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "vlm/core/config_json.h"
#include "vlm/core/error.h"
#include "vlm/core/log.h"
#include "vlm/core/progress.h"
#include "vlm/eval/protocols.h"
#include "vlm/infer/pipeline.h"
#include "vlm/io/atomic_file.h"
#include "vlm/io/safetensors.h"
#include "vlm/models/model_folder.h"
#include "vlm/train/checkpoint.h"
#include "vlm/train/gradients.h"

namespace vlm {

namespace fs = std::filesystem;

namespace trainer {

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// RUN/log.jsonl: one JSON object a line. Lines beyond the step that a run goes on from are dropped, so that the curve has
/// every step once.
class Log {
 public:
  Log(const fs::path& file, int64_t from_step) {
    std::string kept;
    if (from_step > 0 && fs::exists(file)) {
      std::ifstream in(file);
      for (std::string line; std::getline(in, line);) {
        const auto entry = nlohmann::json::parse(line, nullptr, false);
        if (entry.is_object() && entry.value("step", int64_t(0)) <= from_step) kept += line + "\n";
      }
    }
    write_file_atomically(file, kept);
    out_.open(file, std::ios::app);
    if (!out_) fail("cannot write ", file.string());
  }
  void write(const nlohmann::ordered_json& entry) {
    out_ << entry.dump() << "\n";
    out_.flush();
  }

 private:
  std::ofstream out_;
};

class Run {
 public:
  Run(const Recipe& recipe, const TrainerOptions& options) : recipe_(recipe), options_(options), out_(recipe.out) {
    resume_from_ = checkpoint_to_resume(out_, options.resume);
    make_model();
    objective_ = objectives().get(recipe.objective.name)({*model_, tokenizer_, *communicator_}, recipe.objective.options);
    make_data();
    optimizer_ = make_optimizer(parameter_groups(model_->trainable(), recipe.train.optimizer), recipe.train.optimizer);
    steps_per_epoch_ = loader_->batches_per_epoch(0);
    for (int64_t epoch = 0; epoch < recipe.train.epochs; ++epoch) total_steps_ += loader_->batches_per_epoch(epoch);
    if (!resume_from_.empty()) resume();
    write_file_atomically(out_ / "recipe.json", to_json(recipe).dump(2) + "\n");
    log_ = std::make_unique<Log>(out_ / "log.jsonl", step_);
  }

  TrainResult train() {
    const auto begin = std::chrono::steady_clock::now();
    int64_t parameters = 0;
    for (const auto& [name, tensor] : model_->trainable()) parameters += tensor.numel();
    log_info("training ", parameters, " parameters of a ", model_->family(), " model on ", source_->size(), " samples, ",
             recipe_.train.epochs, " epochs of ", steps_per_epoch_, " steps");
    TrainResult result;
    Progress bar("training", total_steps_, "steps");
    bar.set_start(step_);
    while (loader_epoch_ < recipe_.train.epochs) {
      if (!run_epoch(bar)) {
        save_checkpoint();
        bar.finish();
        result.steps = step_;
        result.checkpoint = latest_checkpoint(out_);
        return result;
      }
      const int64_t epoch = loader_epoch_++;
      const bool last = loader_epoch_ == recipe_.train.epochs;
      const auto due = [&](int64_t every) { return every > 0 && (epoch + 1) % every == 0; };
      if (has_validation() && !last && due(recipe_.train.eval_every_epochs)) evaluate(epoch);
      if (last || due(recipe_.train.save_every_epochs)) save_checkpoint();
    }
    bar.finish();
    if (has_validation()) evaluate(recipe_.train.epochs - 1);
    result.finished = true;
    result.steps = step_;
    result.last_loss = epoch_loss_;
    result.checkpoint = latest_checkpoint(out_);
    result.model = out_ / "model";
    save_model(result.model);
    result.seconds = seconds_since(begin);
    return result;
  }

 private:
  bool has_validation() const { return validation_ != nullptr; }

  void make_model() {
    const ModelRecipe& model = recipe_.model;
    fs::path tokenizer = model.tokenizer;
    preprocess_ = recipe_.data.preprocess;
    if (!model.init.empty()) {
      model_ = load_model(model.init).model;
      if (tokenizer.empty()) tokenizer = model.init;
    } else {
      if (tokenizer.empty()) fail_usage("model.tokenizer is missing: a new model needs a vocabulary (make one with 'vlm tokenizer train')");
      model_ = with_context("model.config", [&] {
        return vlm::make_model(model.family, model.config, static_cast<uint64_t>(recipe_.train.seed));
      });
    }
    encoder_ = &require<DualEncoder>(*model_, "be trained by 'vlm pretrain'", "it has no two towers");
    tokenizer_ = load_tokenizer(tokenizer);
    tokenizer_path_ = tokenizer;
    const auto [height, width] = encoder_->image_size();
    preprocess_.size = height == width ? std::vector<int64_t>{height} : std::vector<int64_t>{height, width};
  }

  void make_data() {
    const DataRecipe& data = recipe_.data;
    if (data.train.path.empty()) fail_usage("data.train.path is missing: shards or a folder to train on");
    source_ = open_source(data.train);
    if (!data.val.path.empty()) validation_ = open_source(data.val);
    const auto transform = std::make_shared<const TrainTransform>(data.augment, preprocess_);
    const auto [height, width] = objective_->image_size();
    if (transform->output_size().height != height || transform->output_size().width != width) {
      fail_usage("data.augment.size gives ", transform->output_size().height, " x ", transform->output_size().width,
                 ", but the model takes ", height, " x ", width);
    }
    BatchForm form;
    form.height = height;
    form.width = width;
    form.text_length = objective_->text_length();
    form.prepare = [transform](Sample& sample, const Image& image, SplitMix64& random, float* pixels, std::string& text) {
      const std::string place = sample.shard + ": " + sample.key;
      if (image.pixels.empty()) throw SampleError("no_image", place);
      if (text.empty()) throw SampleError("no_caption", place);
      transform->write(image, random, pixels);
    };
    form.tokenize = [this](const std::string& text, int64_t* ids) { objective_->tokenize(text, ids); };
    loader_ = std::make_unique<Loader>(source_, data.loader, std::move(form));
  }

  void resume() {
    with_context("resuming from " + resume_from_.string(), [&] {
      const auto state = nlohmann::json::parse(read_file(resume_from_ / "trainer.json"), nullptr, false);
      if (!state.is_object() || !state.contains("step") || !state.contains("total_steps")) fail("trainer.json is no trainer state");
      if (state.at("total_steps") != total_steps_) {
        fail("the run was planned for ", state.at("total_steps").dump(), " steps, the recipe now asks for ", total_steps_,
             "; start anew with --resume none, or in another folder with out=DIR");
      }
      load_state(model_->state(), read_safetensors(model_weights_file(resume_from_)), resume_from_.string());
      detach_from_file();
      optimizer_->load_state(read_safetensors(resume_from_ / "optimizer.safetensors"));
      loader_->resume(Cursor::load(resume_from_ / "cursor.json"));
      step_ = state.at("step");
      loader_epoch_ = loader_->epoch();
      epoch_loss_sum_ = state.value("epoch_loss_sum", 0.0);
      epoch_steps_ = state.value("epoch_steps", int64_t(0));
      epoch_loss_ = state.value("epoch_loss", 0.0);
      resumed_ = true;
      log_info("going on from ", resume_from_.string(), " (step ", step_, " of ", total_steps_, ")");
    });
  }

  /// Weights that were taken over from a mapped file become ordinary memory: the checkpoint may be removed while we train.
  void detach_from_file() {
    at::NoGradGuard no_grad;
    for (auto& [name, tensor] : model_->state()) {
      Tensor copy = tensor.detach().clone();
      Tensor(tensor).set_data(copy);
    }
  }

  /// False if the run is to stop here.
  bool run_epoch(Progress& bar) {
    if (!resumed_) {
      loader_->start_epoch(loader_epoch_);
      epoch_loss_sum_ = 0;
      epoch_steps_ = 0;
    }
    resumed_ = false;
    model_->set_training(true);
    Batch batch;
    while (loader_->next(batch)) {
      if (batch.size() > 0) train_step(batch, bar);
      loader_->mark_used(batch);
      if (options_.should_stop()) return false;
    }
    epoch_loss_ = epoch_steps_ > 0 ? epoch_loss_sum_ / static_cast<double>(epoch_steps_) : 0;
    return true;
  }

  void train_step(const Batch& batch, Progress& bar) {
    // Dropout and the like draw from a stream that the step names, so a resumed run draws the same.
    auto generator = at::detail::getDefaultCPUGenerator();
    generator.set_current_seed(mix({static_cast<uint64_t>(recipe_.train.seed), static_cast<uint64_t>(step_)}));
    const double lr = learning_rate(recipe_.train.schedule, recipe_.train.lr, step_, total_steps_, steps_per_epoch_);
    const auto terms = objective_->losses(batch);
    Tensor total = terms.at(0).value;
    for (size_t i = 1; i < terms.size(); ++i) total = at::add(total, terms[i].value);
    const double loss = total.item<double>();
    if (!std::isfinite(loss)) {
      std::string keys;
      for (size_t i = 0; i < batch.keys.size() && i < 5; ++i) keys += (i ? ", " : "") + batch.keys[i];
      fail("the loss is ", loss, " at step ", step_, " (samples ", keys, ", …); try a smaller train.lr or train.grad_clip_norm=1. The last checkpoint is untouched");
    }
    clear_gradients(model_->trainable());
    total.backward();
    const double norm = clip_gradients(model_->trainable(), recipe_.train.grad_clip_norm);
    optimizer_->step(lr);
    model_->after_step();
    step_ += 1;
    epoch_loss_sum_ += loss;
    epoch_steps_ += 1;
    nlohmann::ordered_json entry = {{"step", step_}, {"epoch", loader_epoch_}, {"loss", loss}};
    if (terms.size() > 1) {
      for (const auto& term : terms) entry["losses"][term.name] = term.value.item<double>();
    }
    entry["lr"] = lr;
    entry["grad_norm"] = norm;
    for (const auto& [name, value] : objective_->metrics()) entry[name] = value;
    log_->write(entry);
    char note[64];
    std::snprintf(note, sizeof note, "epoch %ld, loss %.3f, lr %.2e", static_cast<long>(loader_epoch_ + 1), loss, lr);
    bar.update(step_, note);
  }

  void evaluate(int64_t epoch) {
    model_->set_training(false);
    const DualEncoderPipeline pipeline(model_, tokenizer_, preprocess_);
    const RetrievalOptions retrieval{.merge_equal_texts = true, .progress = false};
    const RetrievalReport report = evaluate_retrieval(pipeline, *validation_, retrieval);
    nlohmann::ordered_json entry = {{"step", step_}, {"epoch", epoch}, {"eval", report.to_json()}};
    log_->write(entry);
    const auto share = [](const std::map<int64_t, double>& recall) { return concat(std::lround(1000 * recall.rbegin()->second) / 10.0, " %"); };
    log_info("epoch ", epoch + 1, ": loss ", std::lround(1000 * epoch_loss_) / 1000.0, ", validation R@", report.recall.image_to_text.rbegin()->first,
             " image to text ", share(report.recall.image_to_text), ", text to image ", share(report.recall.text_to_image), " (chance ",
             share(report.chance.image_to_text), ")");
  }

  void save_model(const fs::path& folder) const {
    save_open_clip_folder(folder, *model_, open_clip_preprocess(preprocess_));
    const fs::path file = fs::is_directory(tokenizer_path_) ? fs::path() : tokenizer_path_;
    if (!file.empty()) {
      const std::string name = file.extension() == ".model" ? "tokenizer.model" : file.filename().string();
      write_file_atomically(folder / name, read_file(file));
    } else {
      for (const char* name : {"tokenizer.model", "spiece.model", "tokenizer.json", "vocab.json", "merges.txt", "bpe_simple_vocab_16e6.txt.gz", "tokenizer_config.json"}) {
        if (fs::exists(tokenizer_path_ / name)) write_file_atomically(folder / name, read_file(tokenizer_path_ / name));
      }
    }
  }

  void save_checkpoint() {
    write_checkpoint(out_, step_, /*keep=*/2, [&](const fs::path& folder) {
      save_model(folder);
      write_safetensors(folder / "optimizer.safetensors", optimizer_->state());
      Cursor cursor = loader_->cursor();
      cursor.step = step_;
      write_file_atomically(folder / "cursor.json", cursor.to_json().dump(2) + "\n");
      const nlohmann::ordered_json state = {{"step", step_},           {"total_steps", total_steps_}, {"epoch_loss_sum", epoch_loss_sum_},
                                            {"epoch_steps", epoch_steps_}, {"epoch_loss", epoch_loss_}};
      write_file_atomically(folder / "trainer.json", state.dump(2) + "\n");
    });
  }

  static nlohmann::ordered_json open_clip_preprocess(const PreprocessOptions& options) {
    nlohmann::ordered_json out;
    out["size"] = options.size.size() == 1 ? nlohmann::ordered_json(options.size[0]) : nlohmann::ordered_json(options.size);
    out["mode"] = options.mode;
    out["mean"] = options.mean;
    out["std"] = options.std;
    out["interpolation"] = options.interpolation;
    out["resize_mode"] = options.resize_mode;
    out["fill_color"] = options.fill_color;
    return out;
  }

  Recipe recipe_;
  TrainerOptions options_;
  fs::path out_, resume_from_, tokenizer_path_;
  PreprocessOptions preprocess_;
  std::shared_ptr<Model> model_;
  DualEncoder* encoder_ = nullptr;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::shared_ptr<const Source> source_, validation_;
  std::unique_ptr<Communicator> communicator_ = make_single_communicator();
  std::unique_ptr<Objective> objective_;
  std::unique_ptr<Loader> loader_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Log> log_;
  int64_t steps_per_epoch_ = 0, total_steps_ = 0, step_ = 0, loader_epoch_ = 0, epoch_steps_ = 0;
  double epoch_loss_sum_ = 0, epoch_loss_ = 0;
  bool resumed_ = false;
};

}  // namespace trainer

TrainResult run_training(const Recipe& recipe, const TrainerOptions& options) { return trainer::Run(recipe, options).train(); }

}  // namespace vlm
