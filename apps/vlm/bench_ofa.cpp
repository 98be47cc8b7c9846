#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <c10/core/InferenceMode.h>

#include "bench_report.h"
#include "command.h"
#include "vlm/core/config.h"
#include "vlm/core/error.h"
#include "vlm/infer/sequence_search.h"
#include "vlm/losses/label_smoothed_cross_entropy.h"
#include "vlm/models/layers/fast_linear.h"
#include "vlm/models/model_folder.h"
#include "vlm/train/gradients.h"
#include "vlm/train/optimizer.h"
#include "vlm/train/parameter_groups.h"

namespace vlm::apps {

namespace bench_ofa {

struct Task {
  std::string model;
  int64_t beam = 5, tokens = 16, batch = 1;
  int threads = 2;
  double seconds = 20;
};

Tensor words(int64_t rows, int64_t length) { return at::randint(4, 50000, {rows, length}, at::kLong); }

std::shared_ptr<Model> model_of(const Task& task, const char* size) {
  if (!task.model.empty()) return load_model(task.model).model;
  const std::string config = concat("{size: ", size, ", dropout: 0.0}");
  return make_model("ofa", Config::parse(config, "bench"), 0);
}

/// Pictures of 480 x 480 and an instruction of 8 ids. Each reply is `tokens` ids long, the last of them the end, as the public code
/// forces it: so many steps of the decoder.
void caption(const Task& task) {
  at::set_num_threads(task.threads);
  const auto model = model_of(task, "base");
  auto& instructed = require<Instructed>(*model, "be told what to do", "it takes no instructions");
  pack_for_inference(*model);  // as a pipeline does from its second batch on
  const c10::InferenceMode inference;
  Instruction instruction;
  instruction.ids = words(task.batch, 8);
  instruction.pixels = at::randn({task.batch, 3, 480, 480});
  SequenceSearchOptions options;
  options.beam = task.beam;
  options.max_len_b = options.min_len = task.tokens - 1;
  options.no_repeat_ngram = 3;
  const auto step = [&] {
    const auto state = instructed.begin_reply(instructed.encode_instruction(instruction));
    const auto found = sequence_search(*state, task.batch, 8, instructed.generation_tokens(), instructed.instruction_vocabulary(), {}, options);
    for (const auto& replies : found) {
      if (replies.empty() || static_cast<int64_t>(replies[0].ids.size()) != task.tokens) fail("a reply does not have ", task.tokens, " ids");
    }
  };
  bench::report("ofa-caption", "fp32", task.threads, static_cast<double>(task.batch), bench::timed(step, task.seconds), "captions/s",
                {{"beam", task.beam}, {"tokens", task.tokens}, {"batch", task.batch}});
}

/// One step of AdamW: pictures of 224 x 224, 16 source ids, 20 target ids that are what is fed, too.
void train(const Task& task) {
  at::set_num_threads(task.threads);
  const auto model = model_of(task, "tiny");
  auto& instructed = require<Instructed>(*model, "be told what to do", "it takes no instructions");
  Instruction instruction;
  instruction.ids = words(task.batch, 16);
  instruction.pixels = at::randn({task.batch, 3, 224, 224});
  const Tensor target = words(task.batch, 20);
  const auto parameters = model->trainable();
  for (const auto& [name, tensor] : parameters) Tensor(tensor).set_requires_grad(true);
  ParameterGroupOptions groups;
  groups.weight_decay = 0.01;
  groups.decay_style = "all";
  OptimizerOptions adamw;
  adamw.beta2 = 0.999;
  adamw.eps = 1e-8;
  const auto optimizer = make_optimizer(parameter_groups(parameters, groups), adamw);
  LabelSmoothedCrossEntropyOptions smoothed;
  smoothed.label_smoothing = 0.1;
  smoothed.uniform = true;
  model->set_training(true);
  const auto step = [&] {
    clear_gradients(parameters);
    const Tensor logits = instructed.reply_logits(*instructed.encode_instruction(instruction), target);
    const SequenceLoss loss = label_smoothed_cross_entropy(logits, {.ids = target, .conf = {}, .constraint_masks = {}}, smoothed);
    (loss.loss / static_cast<double>(loss.ntokens)).backward();
    optimizer->step(1e-4);
  };
  const std::vector<double> runs = bench::timed(step, task.seconds);
  bench::report("ofa-train", "fp32", task.threads, static_cast<double>(task.batch), runs, "samples/s",
                {{"batch", task.batch}, {"peak_memory_mb", bench::peak_memory_mb()}});
}

void add_shared(CLI::App& command, Task& task) {
  command.add_option("--batch", task.batch, "Pictures in a batch")->capture_default_str()->check(at_least_one);
  command.add_option("--threads", task.threads, "Threads")->capture_default_str()->check(at_least_one);
  command.add_option("--seconds", task.seconds, "About how long to measure")->capture_default_str();
}

}  // namespace bench_ofa

void add_bench_ofa(CLI::App& bench) {
  using namespace bench_ofa;
  {
    auto task = std::make_shared<Task>();
    CLI::App* sub = add_command(bench, "ofa-caption", "OFA: replies of exactly --tokens ids about pictures of 480 x 480", "vlm bench ofa-caption --model ofa-base --beam 5",
                                [task] { bench_ofa::caption(*task); });
    sub->add_option("--model", task->model, "Model folder (default: drawn weights of size base)");
    sub->add_option("--beam", task->beam, "Beams; 1: greedy")->capture_default_str()->check(at_least_one);
    sub->add_option("--tokens", task->tokens, "Ids of a reply, its end included")->capture_default_str()->check(at_least_one);
    add_shared(*sub, *task);
  }
  {
    auto task = std::make_shared<Task>();
    task->batch = 16;
    CLI::App* sub = add_command(bench, "ofa-train", "OFA: optimiser steps on a fixed random batch", "vlm bench ofa-train --batch 16", [task] { bench_ofa::train(*task); });
    sub->add_option("--model", task->model, "Model folder (default: drawn weights of size tiny)");
    add_shared(*sub, *task);
  }
}

}  // namespace vlm::apps
