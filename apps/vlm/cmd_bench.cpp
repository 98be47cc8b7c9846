#include <ATen/Parallel.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <c10/core/InferenceMode.h>

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "bench_report.h"
#include "command.h"
#include "output.h"
#include "vlm/core/error.h"
#include "vlm/data/loader.h"
#include "vlm/data/transforms_train.h"
#include "vlm/infer/generate.h"
#include "vlm/io/atomic_file.h"
#include "vlm/losses/contrastive.h"
#include "vlm/models/layers/fast_linear.h"
#include "vlm/models/model_folder.h"
#include "vlm/text/tokenizer.h"
#include "vlm/train/autocast.h"
#include "vlm/train/gradients.h"
#include "vlm/train/optimizer.h"
#include "vlm/train/parameter_groups.h"

namespace vlm::apps {

namespace bench {

using Clock = std::chrono::steady_clock;

double since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

/// Seconds since this process was started, by the clock of the kernel.
double process_age() {
  std::string stat;
  std::getline(std::ifstream("/proc/self/stat"), stat);
  std::istringstream fields(stat.substr(stat.rfind(')') + 1));
  std::string field;
  for (int i = 3; i <= 22; ++i) fields >> field;  // the 22nd: start time in clock ticks since boot
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9 - std::stod(field) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

struct ModelTask {
  std::string config;
  int64_t batch = 64;
  std::string precision = "fp32";
  int threads = 2;
  double seconds = 20;

  void add_to(CLI::App& command, const std::vector<std::string>& precisions) {
    command.add_option("--config", config, "Model configuration (open_clip's model_cfg, JSON or YAML)")->required();
    command.add_option("--batch", batch, "Pictures in a batch")->capture_default_str()->check(at_least_one);
    command.add_option("--precision", precision, "Of matrix products")->capture_default_str()->check(CLI::IsMember(precisions));
    command.add_option("--threads", threads, "Threads")->capture_default_str()->check(at_least_one);
    command.add_option("--seconds", seconds, "About how long to measure")->capture_default_str();
  }
  std::unique_ptr<Model> make() const {
    at::set_num_threads(threads);
    return make_model("clip", Config::load(config), 0);
  }
};

void clip_train(const ModelTask& task) {
  const auto model = task.make();
  auto& encoder = require<DualEncoder>(*model, "be trained", "it has no two towers");
  const auto [height, width] = encoder.image_size();
  const Tensor pixels = at::randn({task.batch, 3, height, width});
  const int64_t vocabulary = Config::load(task.config).section("text_cfg").to_json().value("vocab_size", int64_t(49408));
  const Tensor ids = at::randint(1, vocabulary - 2, {task.batch, encoder.context_length()}, at::kLong);
  ids.select(1, encoder.context_length() - 1).fill_(vocabulary - 1);  // the largest id is where the text tower pools
  model->set_training(true);
  const auto parameters = model->trainable();
  const auto optimizer = make_optimizer(parameter_groups(parameters, {}), {});
  const auto step = [&] {
    clear_gradients(parameters);
    Tensor loss;
    {
      const Autocast autocast(at::kCPU, task.precision);
      loss = contrastive_loss(encoder.embed_images(pixels), encoder.embed_texts(ids), encoder.logit_scale(), encoder.logit_bias());
    }
    loss.backward();
    optimizer->step(5e-4);
    model->after_step();
  };
  const std::vector<double> runs = timed(step, task.seconds);
  report("clip-train", task.precision, task.threads, static_cast<double>(task.batch), runs, "samples/s",
         {{"batch", task.batch}, {"peak_memory_mb", peak_memory_mb()}});
}

void clip_embed(const ModelTask& task) {
  const auto model = task.make();
  auto& encoder = require<DualEncoder>(*model, "embed pictures", "it has no image tower");
  const auto [height, width] = encoder.image_size();
  pack_for_inference(*model);
  const c10::InferenceMode inference;
  const Tensor pixels = at::randn({task.batch, 3, height, width});
  report("clip-embed", task.precision, task.threads, static_cast<double>(task.batch), timed([&] { encoder.embed_images(pixels); }, task.seconds),
         "images/s", {{"batch", task.batch}});
}

struct CaptionTask {
  std::string model;
  int64_t beam = 1, tokens = 20;
  int threads = 2;
  double seconds = 20;
};

/// Decodes exactly so many ids, as the peers do: folders for measuring hold no tokenizer.
void caption(const CaptionTask& task) {
  at::set_num_threads(task.threads);
  const LoadedModel loaded = load_model(task.model);
  auto& captioner = require<Captioner>(*loaded.model, "caption", "it has no text decoder");
  const auto [height, width] = require<PictureModel>(*loaded.model, "caption", "it has no image tower").picture_size();
  pack_for_inference(*loaded.model);  // as a pipeline does from its second batch on
  const c10::InferenceMode inference;
  const Tensor pixels = at::randn({1, 3, height, width});
  const GenerationTokens tokens = captioner.generation_tokens();
  GenerateOptions options;
  options.beams = task.beam;
  options.max_new_tokens = options.min_new_tokens = task.tokens;
  const auto step = [&] { generate(*captioner.begin_caption(pixels), begin_prompt(1, tokens), {}, tokens, options); };
  report("caption", "fp32", task.threads, 1.0, timed(step, task.seconds), "captions/s", {{"beam", task.beam}, {"tokens", task.tokens}});
}

/// From the start of the process to the first caption.
void startup(const CaptionTask& task) {
  at::set_num_threads(task.threads);
  const LoadedModel loaded = load_model(task.model);
  auto& captioner = require<Captioner>(*loaded.model, "caption", "it has no text decoder");
  const auto [height, width] = require<PictureModel>(*loaded.model, "caption", "it has no image tower").picture_size();
  const c10::InferenceMode inference;
  const GenerationTokens tokens = captioner.generation_tokens();
  GenerateOptions options;
  options.max_new_tokens = options.min_new_tokens = task.tokens;
  generate(*captioner.begin_caption(at::randn({1, 3, height, width})), begin_prompt(1, tokens), {}, tokens, options);
  const double seconds = process_age();
  const nlohmann::ordered_json out = {{"task", "startup"}, {"who", "vlm"}, {"precision", "fp32"}, {"threads", task.threads}, {"value", seconds}, {"unit", "s"}, {"runs", {seconds}}};
  std::puts(out.dump().c_str());
}

struct DataTask {
  std::string tar, tokenizer;
  int64_t workers = 1, batch = 64, passes = 3;
};

void data(const DataTask& task) {
  at::set_num_threads(1);
  SourceOptions source_options;
  source_options.path = task.tar;
  std::shared_ptr<const Source> source = open_source(source_options);
  const auto tokenizer = task.tokenizer.empty() ? nullptr : load_tokenizer(task.tokenizer);
  const auto transform = std::make_shared<const TrainTransform>(TrainTransformOptions{}, PreprocessOptions{});
  BatchForm form;
  form.height = form.width = 224;
  form.text_length = tokenizer ? 77 : 0;
  form.prepare = [transform](Sample&, const Image& image, SplitMix64& random, float* pixels, std::string&) { transform->write(image, random, pixels); };
  if (tokenizer) {
    form.tokenize = [tokenizer](const std::string& text, int64_t* ids) {
      const auto row = tokenizer->encode_padded(text, 77);
      std::copy(row.begin(), row.end(), ids);
    };
  }
  LoaderOptions options;
  options.batch_size = task.batch;
  options.threads = task.workers;
  options.epoch_end = "exact";
  std::vector<double> runs;
  for (int64_t pass = 0; pass < task.passes; ++pass) {
    Loader loader(source, options, form);
    loader.start_epoch(pass);
    Batch batch;
    if (!loader.next(batch)) fail(task.tar, " holds no samples");
    const auto begin = Clock::now();  // the first batch pays for starting up, as it does for the peer
    int64_t pictures = 0;
    while (loader.next(batch)) pictures += batch.size();
    if (pictures == 0) fail(task.tar, " holds only one batch of ", task.batch, "; at least two are needed to measure");
    runs.push_back(since(begin) * static_cast<double>(task.workers) / static_cast<double>(pictures));
  }
  report("data", "uint8", static_cast<int>(task.workers), 1.0, runs, "images/s per worker");
}

}  // namespace bench

/// OFA's tasks (bench_ofa.cpp), and TCL's (bench_tcl.cpp).
void add_bench_ofa(CLI::App& bench);
void add_bench_tcl(CLI::App& bench);

void add_bench(CLI::App& app) {
  CLI::App* command = add_command(app, "bench", "Measure speed, in the form that comparisons with other tools use (one JSON line)",
                                  "vlm bench clip-embed --config configs/bench/clip_vit_b32.json --batch 16", nullptr);
  command->require_subcommand(1);
  {
    auto task = std::make_shared<bench::ModelTask>();
    CLI::App* train = add_command(*command, "clip-train", "Optimiser steps on a fixed random batch", "vlm bench clip-train --config configs/bench/clip_vit_ti16.json",
                                  [task] { bench::clip_train(*task); });
    task->add_to(*train, {"fp32", "bf16"});
  }
  {
    auto task = std::make_shared<bench::ModelTask>();
    CLI::App* embed = add_command(*command, "clip-embed", "The image tower without gradients", "vlm bench clip-embed --config configs/bench/clip_vit_b32.json --batch 1",
                                  [task] { bench::clip_embed(*task); });
    task->add_to(*embed, {"fp32"});
  }
  for (const bool whole : {false, true}) {
    auto task = std::make_shared<bench::CaptionTask>();
    CLI::App* sub = whole ? add_command(*command, "startup", "Seconds from the start of the process to the first caption", "vlm bench startup --model blip-base",
                                        [task] { bench::startup(*task); })
                          : add_command(*command, "caption", "Captions of exactly --tokens ids for one picture", "vlm bench caption --model blip-base --beam 3",
                                        [task] { bench::caption(*task); });
    sub->add_option("--model", task->model, "Model folder")->required();
    sub->add_option("--tokens", task->tokens, "Ids to decode")->capture_default_str()->check(at_least_one);
    if (!whole) sub->add_option("--beam", task->beam, "Beams; 1: greedy")->capture_default_str()->check(at_least_one);
    sub->add_option("--threads", task->threads, "Threads")->capture_default_str()->check(at_least_one);
    if (!whole) sub->add_option("--seconds", task->seconds, "About how long to measure")->capture_default_str();
  }
  {
    auto task = std::make_shared<bench::DataTask>();
    CLI::App* data = add_command(*command, "data", "Read, decode, crop, normalise and tokenise a WebDataset tar", "vlm bench data --tar pictures.tar --tokenizer bpe_simple_vocab_16e6.txt.gz",
                                 [task] { bench::data(*task); });
    data->add_option("--tar", task->tar, "Shards to read")->required();
    data->add_option("--tokenizer", task->tokenizer, "Tokenizer file or folder (default: captions are not tokenised)");
    data->add_option("--workers", task->workers, "Decoding threads")->capture_default_str()->check(at_least_one);
    data->add_option("--batch", task->batch, "Pictures in a batch")->capture_default_str()->check(at_least_one);
    data->add_option("--passes", task->passes, "Passes over the data")->capture_default_str()->check(at_least_one);
  }
  add_bench_ofa(*command);
  add_bench_tcl(*command);
}

}  // namespace vlm::apps
