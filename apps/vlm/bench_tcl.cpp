#include <ATen/Parallel.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/randn_like.h>

#include "bench_report.h"
#include "command.h"
#include "vlm/core/config.h"
#include "vlm/core/error.h"
#include "vlm/core/rng.h"
#include "vlm/losses/token_masking.h"
#include "vlm/models/albef/albef.h"
#include "vlm/models/model_folder.h"
#include "vlm/train/alignment_step.h"
#include "vlm/train/gradients.h"
#include "vlm/train/optimizer.h"
#include "vlm/train/parameter_groups.h"

namespace vlm::apps {

namespace bench_tcl {

struct Task {
  int64_t batch = 16;
  int threads = 2;
  double seconds = 20;
};

// The sizes of tools/peer_tcl.py. 81 patches: pretraining pools 3 x 3 of them into each of 9 parts.
constexpr const char* architecture = R"({task: pretrain, image_res: 144, patch_size: 16, vision_width: 256, vision_depth: 6, vision_heads: 4, embed_dim: 256,
  queue_size: 4096, bert_config: {vocab_size: 8192, hidden_size: 256, intermediate_size: 1024, num_hidden_layers: 6, fusion_layer: 3,
  num_attention_heads: 4, max_position_embeddings: 64, encoder_width: 256}})";

/// One step of AdamW with all losses: pictures of 144 x 144 in two views, texts of 25 ids. Pairs and hidden words are drawn anew in each.
void train(const Task& task) {
  at::set_num_threads(task.threads);
  const auto model = make_model("albef", Config::parse(architecture, "bench"), 0);
  auto& aligner = require<AlbefAligner>(*model, "be trained by TCL's losses", "it does not compare pictures and texts");
  const AlbefConfig& config = aligner.architecture();
  if (config.queue_size % task.batch != 0) fail_usage("--batch must divide the queue's ", config.queue_size, " columns, as the public code wants it");
  AlignmentBatch in;
  in.image = at::randn({task.batch, 3, config.vision.image_height, config.vision.image_width});
  in.image_aug = at::randn_like(in.image);
  in.ids = at::randint(200, config.text.vocab_size, {task.batch, 25}, at::kLong);
  in.ids.select(1, 0).fill_(config.cls);
  in.ids.select(1, 24).fill_(config.sep);
  in.mask = at::ones_like(in.ids);
  const TokenMaskOptions hiding{.probability = 0.15, .mask_id = config.mask, .vocab_size = config.text.vocab_size, .exclude = {config.pad, config.cls}};
  SplitMix64 random(0);

  const auto parameters = model->trainable();
  for (const auto& [name, tensor] : parameters) Tensor(tensor).set_requires_grad(true);
  ParameterGroupOptions groups;
  groups.weight_decay = 0.02;
  groups.decay_style = "albef";
  OptimizerOptions adamw;
  adamw.beta2 = 0.999;
  adamw.eps = 1e-8;
  const auto optimizer = make_optimizer(parameter_groups(parameters, groups), adamw);
  AlignmentOptions options;
  options.method = AlignmentMethod::tcl;
  model->set_training(true);
  const auto step = [&] {
    clear_gradients(parameters);
    const MaskedTokens hidden = mask_tokens(in.ids, hiding, random);
    in.masked_ids = hidden.input_ids;
    in.mlm_labels = hidden.labels;
    in.uniform_image = at::rand({task.batch});
    in.uniform_text = at::rand({task.batch});
    alignment_step(aligner, in, options).total().backward();
    optimizer->step(1e-4);
  };
  const std::vector<double> runs = bench::timed(step, task.seconds);
  bench::report("tcl-train", "fp32", task.threads, static_cast<double>(task.batch), runs, "samples/s",
                {{"batch", task.batch}, {"peak_memory_mb", bench::peak_memory_mb()}});
}

}  // namespace bench_tcl

void add_bench_tcl(CLI::App& bench) {
  using namespace bench_tcl;
  auto task = std::make_shared<Task>();
  CLI::App* sub = add_command(bench, "tcl-train", "TCL: optimiser steps with all losses on a fixed random batch, as tools/peer_tcl.py makes them with the public code",
                              "vlm bench tcl-train --batch 16", [task] { bench_tcl::train(*task); });
  sub->add_option("--batch", task->batch, "Pairs in a batch")->capture_default_str()->check(at_least_one);
  sub->add_option("--threads", task->threads, "Threads")->capture_default_str()->check(at_least_one);
  sub->add_option("--seconds", task->seconds, "About how long to measure")->capture_default_str();
}

}  // namespace vlm::apps
