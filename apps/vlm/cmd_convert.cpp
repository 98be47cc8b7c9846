#include <cstdio>

#include "command.h"
#include "output.h"
#include "vlm/core/error.h"
#include "vlm/core/log.h"
#include "vlm/infer/convert.h"

namespace vlm::apps {

namespace convert_command {

struct Options {
  std::string source, target;
  ConvertOptions convert;
  bool json = false;
};

void run(const Options& options) {
  const ConvertReport report = convert_model(options.source, options.target, options.convert);
  if (options.json) {
    nlohmann::ordered_json out = {{"family", report.family},
                                  {"from", report.from},
                                  {"to", report.to},
                                  {"tensors", report.tensors},
                                  {"notes", report.notes}};
    out["written"] = nlohmann::ordered_json::array();
    for (const auto& file : report.written) out["written"].push_back(file.string());
    return print_json(out);
  }
  std::printf("%s%sfrom %s to %s: %lld tensors\n", report.family.c_str(), report.family.empty() ? "" : " ",
              report.from.c_str(), report.to.c_str(), static_cast<long long>(report.tensors));
  for (const auto& file : report.written) std::printf("  %s\n", file.c_str());
  for (const auto& note : report.notes) log_warning(note);
}

}  // namespace convert_command

void add_convert(CLI::App& app) {
  auto options = std::make_shared<convert_command::Options>();
  CLI::App* command =
      add_command(app, "convert", "Write a model in another layout: open_clip's, HF's, fairseq's (OFA), that of ALBEF's or mPLUG's public code, or its weights as safetensors",
                  "vlm convert ViT-B-32.pt clip-hf --to hf --tokenizer bpe_simple_vocab_16e6.txt.gz",
                  [options] { convert_command::run(*options); });
  command
      ->add_option("source", options->source, "Model folder, or a weight file (.safetensors, .pt, .pth, .bin, .index.json)")
      ->required();
  command->add_option("target", options->target, "Folder to write; with --to safetensors and a file as source, a file")
      ->required();
  command->add_option("--to", options->convert.to, "open_clip, hf, fairseq (OFA: checkpoint.pt with its arguments), albef or mplug (a PyTorch checkpoint with \"model\", config.yaml, config_bert.json), or safetensors (the container only)")->required();
  command->add_option("--arch", options->convert.arch,
                      "Architecture of a bare weight file, as ViT-B-32 or ViT-B-32-quickgelu");
  command->add_option("--config", options->convert.config,
                      "Configuration of a bare weight file: a config.json or open_clip_config.json");
  command->add_option("--tokenizer", options->convert.tokenizer, "Tokenizer file or folder (default: beside the weights)");
  command->add_flag("!--no-ema", options->convert.average, "Of a fairseq checkpoint: the last weights, not their moving average");
  command->add_flag("--force", options->convert.force, "Replace what is there");
  command->add_flag("--json", options->json, "Print JSON");
}

}  // namespace vlm::apps
