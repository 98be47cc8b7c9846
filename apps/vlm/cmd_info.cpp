#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>

#include "command.h"
#include "output.h"
#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/infer/pipeline.h"
#include "vlm/io/safetensors.h"
#include "vlm/io/torch_checkpoint.h"
#include "vlm/io/weight_index.h"
#include "vlm/io/weights.h"
#include "vlm/io/atomic_file.h"
#include "vlm/models/fairseq_checkpoint.h"
#include "vlm/models/generator.h"
#include "vlm/models/model_folder.h"
#include "vlm/text/tokenizer.h"

namespace vlm::apps {

namespace info {

namespace fs = std::filesystem;

/// Counts tensors, numbers and types, and lists them where that is asked for.
class TensorList {
 public:
  TensorList(nlohmann::ordered_json& out, bool list) : out_(out), list_(list) {}

  void add(const std::string& name, at::ScalarType dtype, const std::vector<int64_t>& shape) {
    int64_t count = 1;
    for (const int64_t n : shape) count *= n;
    numbers_ += count;
    ++tensors_;
    types_[c10::toString(dtype)] += 1;
    if (list_) entries_[name] = {{"dtype", c10::toString(dtype)}, {"shape", shape}};
  }
  void write() {
    out_["tensors"] = tensors_;
    out_["numbers"] = numbers_;
    for (const auto& [type, count] : types_) out_["types"][type] = count;
    if (list_) out_["list"] = std::move(entries_);
  }

 private:
  nlohmann::ordered_json& out_;
  bool list_;
  int64_t tensors_ = 0, numbers_ = 0;
  std::map<std::string, int64_t> types_;
  nlohmann::ordered_json entries_ = nlohmann::ordered_json::object();
};

/// What a checkpoint holds, a few levels deep: containers with the number of their entries, plain values as they are.
nlohmann::ordered_json structure_of(const CheckpointValue& value, int depth) {
  constexpr size_t shown = 24;
  if (value.kind() == PickleKind::tensor) {
    const auto shape = value.tensor_shape();
    return concat(c10::toString(shape.dtype), " ", nlohmann::json(shape.shape).dump());
  }
  if (!value.is_container() || value.size() == 0) return value.to_json();
  const bool dict = value.kind() == PickleKind::dict;
  if (depth == 0) return concat(value.size(), dict ? " entries" : " items");
  auto out = nlohmann::ordered_json::object();
  for (size_t i = 0; i < std::min(value.size(), shown); ++i) out[dict ? value.key(i) : std::to_string(i)] = structure_of(value.item(i), depth - 1);
  if (value.size() > shown) out["…"] = concat(value.size() - shown, " more");
  return out;
}

nlohmann::ordered_json of_file(const fs::path& file, bool tensors, bool allow_unknown_globals) {
  nlohmann::ordered_json out;
  out["file"] = file.string();
  out["bytes"] = fs::file_size(file);
  TensorList list(out, tensors);
  switch (weight_container(file)) {
    case WeightContainer::safetensors: {
      const SafetensorsFile stored(file);
      out["container"] = "safetensors";
      for (const auto& [name, tensor] : stored.tensors()) list.add(name, tensor.dtype, tensor.shape);
      for (const auto& [key, value] : stored.metadata()) out["metadata"][key] = value;
      break;
    }
    case WeightContainer::torch_checkpoint: {
      const TorchCheckpoint checkpoint(file, TorchCheckpointOptions{allow_unknown_globals});
      out["container"] = checkpoint.torchscript() ? "TorchScript archive" : checkpoint.legacy() ? "PyTorch checkpoint (before 1.6)" : "PyTorch checkpoint";
      for (const auto& [path, value] : flatten(checkpoint.root())) {
        if (value.kind() == PickleKind::tensor) list.add(path, value.tensor_shape().dtype, value.tensor_shape().shape);
      }
      if (!checkpoint.torchscript()) out["structure"] = structure_of(checkpoint.root(), 2);
      if (!allow_unknown_globals) {
        if (const auto fairseq = read_fairseq_checkpoint(file, false)) {
          out["fairseq"] = {{"arch", fairseq->args.contains("arch") ? fairseq->args["arch"] : "unknown"}, {"moving_average", fairseq->has_average}};
        }
      }
      break;
    }
    case WeightContainer::index: {
      out["container"] = "index of shards";
      for (const auto& [name, tensor] : read_weights(file, WeightReadOptions{allow_unknown_globals})) list.add(name, tensor.scalar_type(), tensor.sizes().vec());
      std::map<std::string, int64_t> shards;
      for (const auto& [name, shard] : read_weight_index(file)) shards[shard.filename()] += 1;
      for (const auto& [shard, count] : shards) out["shards"][shard] = count;
      break;
    }
  }
  list.write();
  return out;
}

nlohmann::ordered_json of_model(const fs::path& folder, const std::string& arch) {
  nlohmann::ordered_json out;
  const LoadedModel loaded = load_model(folder, ModelLoadOptions{.strict = false, .arch = arch});
  int64_t numbers = 0;
  for (const auto& [name, tensor] : loaded.model->trainable()) numbers += tensor.numel();
  out[fs::is_directory(folder) ? "folder" : "file"] = folder.string();
  out["layout"] = loaded.layout;
  out["family"] = loaded.model->family();
  out["parameters"] = numbers;
  out["can"] = nlohmann::ordered_json::array();
  if (const auto* encoder = dynamic_cast<const DualEncoder*>(loaded.model.get())) {
    out["can"] = {"classify", "embed", "index", "search", "eval retrieval", "eval zeroshot"};
    out["image_size"] = {encoder->image_size().first, encoder->image_size().second};
    out["context_length"] = encoder->context_length();
    out["logit_scale"] = encoder->logit_scale().item<double>();
  }
  if (const auto* pictures = dynamic_cast<const PictureModel*>(loaded.model.get())) out["image_size"] = {pictures->picture_size().first, pictures->picture_size().second};
  const auto can = [&](bool able, const char* command) {
    if (able) out["can"].push_back(command);
  };
  const bool instructed = dynamic_cast<const Instructed*>(loaded.model.get()) != nullptr;
  for (const char* command : {"caption", "vqa", "match", "classify", "ground", "describe-region", "entail", "infill", "ask", "eval caption", "eval vqa",
                              "eval classify", "eval entail", "eval ground"}) {
    can(instructed, command);
  }
  can(dynamic_cast<const Captioner*>(loaded.model.get()), "caption");
  can(dynamic_cast<const Captioner*>(loaded.model.get()), "eval caption");
  can(dynamic_cast<const Answerer*>(loaded.model.get()), "vqa");
  can(dynamic_cast<const Answerer*>(loaded.model.get()), "eval vqa");
  can(dynamic_cast<const Matcher*>(loaded.model.get()) || dynamic_cast<const DualEncoder*>(loaded.model.get()), "match");
  out["weights"] = loaded.weights.string();
  out["weights_fit"] = loaded.report.clean();
  if (!loaded.report.clean()) {
    out["missing"] = loaded.report.missing;
    out["unexpected"] = loaded.report.unexpected;
    out["misshapen"] = loaded.report.misshapen;
  }
  const fs::path beside = loaded.folder.empty() ? loaded.weights.parent_path() / "." : loaded.folder;
  try {
    const auto tokenizer = load_tokenizer(beside);
    out["tokenizer"] = {{"family", tokenizer->family()}, {"vocab_size", tokenizer->vocab_size()}};
  } catch (const Error& error) {
    out["tokenizer"] = {{"problem", error.what()}};
  }
  try {
    const PreprocessOptions preprocess = find_preprocess(loaded);
    out["preprocess"] = {{"resize_mode", preprocess.resize_mode}, {"interpolation", preprocess.interpolation}, {"mean", preprocess.mean}, {"std", preprocess.std}};
  } catch (const Error& error) {
    out["preprocess"] = {{"problem", error.what()}};
  }
  try {
    out["config"] = loaded.model->config();
  } catch (const Error&) {  // open_clip has no name for every size that HF's files may have
    out["config"] = nlohmann::ordered_json::parse(read_file(loaded.folder / "config.json"), nullptr, false);
  }
  return out;
}

void print_plain(const nlohmann::ordered_json& value, const std::string& indent = "") {
  for (const auto& [key, entry] : value.items()) {
    if (entry.is_object()) {
      std::printf("%s%s:\n", indent.c_str(), key.c_str());
      print_plain(entry, indent + "  ");
    } else {
      std::printf("%s%s: %s\n", indent.c_str(), key.c_str(), entry.is_string() ? entry.get<std::string>().c_str() : entry.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
    }
  }
}

}  // namespace info

void add_info(CLI::App& app) {
  struct Options {
    std::string path, arch;
    bool json = false, tensors = false, allow_unknown = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = add_command(app, "info", "Explain a model folder or a weight file", "vlm info runs/clip/model", [options] {
    const std::filesystem::path path(options->path);
    if (!std::filesystem::exists(path)) fail_usage("there is no ", options->path);
    const auto value = std::filesystem::is_directory(path) || !options->arch.empty() ? info::of_model(path, options->arch)
                                                                                       : info::of_file(path, options->tensors, options->allow_unknown);
    if (options->json) {
      print_json(value);
    } else {
      info::print_plain(value);
    }
    if (value.contains("weights_fit") && !value["weights_fit"].get<bool>()) throw Exit{1};
  });
  command->add_option("path", options->path, "Model folder, or a file with tensors: .safetensors, .pt, .pth, .bin, .index.json")->required();
  command->add_flag("--json", options->json, "Print JSON");
  command->add_option("--arch", options->arch, "Explain a bare weight file as a model of this architecture, as ViT-B-32");
  command->add_flag("--allow-unknown-globals", options->allow_unknown, "Pass over objects of unknown classes in a PyTorch checkpoint");
  command->add_flag("--tensors", options->tensors, "List every tensor of a weight file");
}

}  // namespace vlm::apps
