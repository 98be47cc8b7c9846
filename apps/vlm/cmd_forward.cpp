#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <cstdio>

#include "command.h"
#include "vlm/core/error.h"
#include "vlm/io/safetensors.h"
#include "vlm/models/generator.h"
#include "vlm/models/model_folder.h"

namespace vlm::apps {

namespace forward_command {

struct Options {
  std::string model, in, out;
  int threads = 0;
};

void run(const Options& options) {
  if (options.threads > 0) at::set_num_threads(options.threads);
  const TensorMap in = read_safetensors(options.in);
  const auto take = [&](const char* name) {
    const auto it = in.find(name);
    return it == in.end() ? Tensor() : it->second;
  };
  Instruction instruction;
  instruction.ids = take("src_tokens");
  instruction.pixels = take("patch_images");
  instruction.picture_mask = take("patch_masks");
  instruction.code_mask = take("code_masks");
  const Tensor previous = take("prev_output_tokens");
  if (!instruction.ids.defined() || !previous.defined()) fail(options.in, " must hold src_tokens and prev_output_tokens");
  const LoadedModel loaded = load_model(options.model);
  auto& model = require<Instructed>(*loaded.model, "be told what to do", "it takes no instructions");
  const c10::InferenceMode inference;
  const Tensor logits = model.reply_logits(*model.encode_instruction(instruction), previous);
  write_safetensors(options.out, {{"logits", logits}});
  std::printf("logits of %lld x %lld places in %s\n", static_cast<long long>(logits.size(0)), static_cast<long long>(logits.size(1)), options.out.c_str());
}

}  // namespace forward_command

void add_forward(CLI::App& app) {
  auto options = std::make_shared<forward_command::Options>();
  CLI::App* command = add_command(app, "forward", "Logits of a model that takes instructions for given tensors, to compare implementations",
                                  "vlm forward --model ofa-base --in inputs.safetensors --out logits.safetensors", [options] { forward_command::run(*options); });
  command->add_option("--model", options->model, "Model folder or checkpoint")->required();
  command->add_option("--in", options->in, "src_tokens [B, S], prev_output_tokens [B, T]; as there are: patch_images [B, 3, H, W], patch_masks [B], code_masks [B]")
      ->required();
  command->add_option("--out", options->out, "File to write: logits [B, T, V]")->required();
  command->add_option("--threads", options->threads, "Threads (default: all)")->check(at_least_one);
}

}  // namespace vlm::apps
