#include <cstdio>
#include <filesystem>
#include <map>

#include "command.h"
#include "output.h"
#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/data/transforms.h"
#include "vlm/io/safetensors.h"
#include "vlm/models/model_folder.h"
#include "vlm/text/tokenizer.h"

namespace vlm::apps {

namespace info {

namespace fs = std::filesystem;

nlohmann::ordered_json of_file(const fs::path& file, bool tensors) {
  const SafetensorsFile stored(file);
  nlohmann::ordered_json out;
  int64_t numbers = 0;
  std::map<std::string, int64_t> types;
  for (const auto& [name, tensor] : stored.tensors()) {
    int64_t count = 1;
    for (const int64_t n : tensor.shape) count *= n;
    numbers += count;
    types[c10::toString(tensor.dtype)] += 1;
  }
  out["file"] = file.string();
  out["bytes"] = fs::file_size(file);
  out["tensors"] = stored.tensors().size();
  out["numbers"] = numbers;
  for (const auto& [type, count] : types) out["types"][type] = count;
  for (const auto& [key, value] : stored.metadata()) out["metadata"][key] = value;
  if (tensors) {
    for (const auto& [name, tensor] : stored.tensors()) out["list"][name] = {{"dtype", c10::toString(tensor.dtype)}, {"shape", tensor.shape}};
  }
  return out;
}

nlohmann::ordered_json of_folder(const fs::path& folder) {
  nlohmann::ordered_json out;
  const LoadedModel loaded = load_model(folder, ModelLoadOptions{.strict = false});
  int64_t numbers = 0;
  for (const auto& [name, tensor] : loaded.model->state()) numbers += tensor.numel();
  out["folder"] = folder.string();
  out["layout"] = loaded.layout;
  out["family"] = loaded.model->family();
  out["parameters"] = numbers;
  out["can"] = nlohmann::ordered_json::array();
  if (const auto* encoder = dynamic_cast<const DualEncoder*>(loaded.model.get())) {
    out["can"] = {"classify", "search", "eval retrieval", "eval zeroshot"};
    out["image_size"] = {encoder->image_size().first, encoder->image_size().second};
    out["context_length"] = encoder->context_length();
    out["logit_scale"] = encoder->logit_scale().item<double>();
  }
  out["weights"] = loaded.weights.string();
  out["weights_fit"] = loaded.report.clean();
  if (!loaded.report.clean()) {
    out["missing"] = loaded.report.missing;
    out["unexpected"] = loaded.report.unexpected;
    out["misshapen"] = loaded.report.misshapen;
  }
  try {
    const auto tokenizer = load_tokenizer(folder);
    out["tokenizer"] = {{"family", tokenizer->family()}, {"vocab_size", tokenizer->vocab_size()}};
  } catch (const Error& error) {
    out["tokenizer"] = {{"problem", error.what()}};
  }
  try {
    const PreprocessOptions preprocess = load_preprocess(folder);
    out["preprocess"] = {{"resize_mode", preprocess.resize_mode}, {"interpolation", preprocess.interpolation}, {"mean", preprocess.mean}, {"std", preprocess.std}};
  } catch (const Error& error) {
    out["preprocess"] = {{"problem", error.what()}};
  }
  out["config"] = loaded.model->config();
  return out;
}

void print_plain(const nlohmann::ordered_json& value, const std::string& indent = "") {
  for (const auto& [key, entry] : value.items()) {
    if (entry.is_object()) {
      std::printf("%s%s:\n", indent.c_str(), key.c_str());
      print_plain(entry, indent + "  ");
    } else {
      std::printf("%s%s: %s\n", indent.c_str(), key.c_str(), entry.is_string() ? entry.get<std::string>().c_str() : entry.dump().c_str());
    }
  }
}

}  // namespace info

void add_info(CLI::App& app) {
  struct Options {
    std::string path;
    bool json = false, tensors = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = add_command(app, "info", "Explain a model folder or a weight file", "vlm info runs/clip/model", [options] {
    const std::filesystem::path path(options->path);
    if (!std::filesystem::exists(path)) fail_usage("there is no ", options->path);
    const auto value = std::filesystem::is_directory(path) ? info::of_folder(path) : info::of_file(path, options->tensors);
    if (options->json) {
      print_json(value);
    } else {
      info::print_plain(value);
    }
    if (value.contains("weights_fit") && !value["weights_fit"].get<bool>()) throw Exit{1};
  });
  command->add_option("path", options->path, "Model folder or .safetensors file")->required();
  command->add_flag("--json", options->json, "Print JSON");
  command->add_flag("--tensors", options->tensors, "List every tensor of a weight file");
}

}  // namespace vlm::apps
