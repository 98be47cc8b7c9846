#include "vlm/models/fairseq_checkpoint.h"

#include <algorithm>
#include <vector>

#include "vlm/core/error.h"
#include "vlm/io/torch_checkpoint.h"
#include "vlm/io/weights.h"

namespace vlm {

namespace fs = std::filesystem;

namespace fairseq_checkpoint {

using Json = nlohmann::ordered_json;

bool plain(PickleKind kind) {
  return kind == PickleKind::none || kind == PickleKind::boolean || kind == PickleKind::integer || kind == PickleKind::real ||
         kind == PickleKind::string;
}

/// Plain values and lists of them; what else stands among the arguments describes no architecture.
void take(const CheckpointValue& section, Json& out) {
  for (size_t i = 0; i < section.size(); ++i) {
    const CheckpointValue value = section.item(i);
    if (plain(value.kind())) {
      out[section.key(i)] = value.to_json();
    } else if (value.kind() == PickleKind::list || value.kind() == PickleKind::tuple) {
      Json list = Json::array();
      for (size_t k = 0; k < value.size() && plain(value.item(k).kind()); ++k) list.push_back(value.item(k).to_json());
      if (list.size() == value.size()) out[section.key(i)] = list;
    }
  }
}

std::optional<CheckpointValue> dict_at(const CheckpointValue& value, const char* key) {
  const auto found = value.find(key);
  return found && found->kind() == PickleKind::dict ? found : std::nullopt;
}

Json args_of(const CheckpointValue& root) {
  Json out = Json::object();
  if (const auto args = dict_at(root, "args")) {
    take(*args, out);
    return out;
  }
  const CheckpointValue cfg = *dict_at(root, "cfg");
  const auto model = dict_at(cfg, "model");
  for (size_t i = 0; i < cfg.size(); ++i) {
    if (cfg.item(i).kind() == PickleKind::dict && cfg.key(i) != "model") take(cfg.item(i), out);
  }
  out.erase("_name");  // each section has one: the name of a task, of an optimiser …
  if (model) take(*model, out);
  if (!out.contains("arch") && out.contains("_name")) out["arch"] = out["_name"];
  return out;
}

/// Replaces what `values` has of `tensors`.
void overlay(TensorMap& tensors, const CheckpointValue& values, const char* what) {
  for (auto& [name, tensor] : without_wrappers(tensors_below(values))) {
    const auto it = tensors.find(name);
    if (it == tensors.end()) fail("extra_state.", what, " holds '", name, "', which the model has not");
    it->second = tensor;
  }
}

bool is_fairseq(const CheckpointValue& root) {
  const auto model = dict_at(root, "model");
  if (!model || !(dict_at(root, "args") || dict_at(root, "cfg"))) return false;
  return model->size() > 0 && model->item(0).kind() == PickleKind::tensor;
}

}  // namespace fairseq_checkpoint

std::optional<FairseqCheckpoint> read_fairseq_checkpoint(const fs::path& file, bool average) {
  using namespace fairseq_checkpoint;
  if (weight_container(file) != WeightContainer::torch_checkpoint) return std::nullopt;
  const TorchCheckpoint checkpoint(file);
  const CheckpointValue root = checkpoint.root();
  if (!is_fairseq(root)) return std::nullopt;
  return with_context(file.string(), [&] {
    FairseqCheckpoint out;
    out.args = args_of(root);
    out.tensors = without_wrappers(tensors_below(*dict_at(root, "model")));
    const auto extra = dict_at(root, "extra_state");
    for (const char* key : {"ema", "ema_fp32_params"}) {
      const auto values = extra ? dict_at(*extra, key) : std::nullopt;
      if (!values || values->size() == 0) continue;
      out.has_average = true;
      if (average) overlay(out.tensors, *values, key);
      out.averaged = average;
    }
    // Older checkpoints leave the size of the vocabulary to the dictionary.
    const auto words = out.tensors.find("encoder.embed_tokens.weight");
    const bool said = out.args.contains("vocab_size") && out.args["vocab_size"].is_number_integer();
    if (!said && words != out.tensors.end() && words->second.dim() == 2) out.args["vocab_size"] = words->second.size(0);
    return out;
  });
}

fs::path find_fairseq_checkpoint(const fs::path& folder) {
  using namespace fairseq_checkpoint;
  const auto fits = [](const fs::path& file) { return weight_container(file) == WeightContainer::torch_checkpoint && is_fairseq(TorchCheckpoint(file).root()); };
  for (const char* name : {"checkpoint_best.pt", "checkpoint_last.pt"}) {
    if (fs::exists(folder / name) && fits(folder / name)) return folder / name;
  }
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_regular_file() && entry.path().extension() == ".pt" && fits(entry.path())) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  if (found.size() > 1) fail_usage(folder.string(), " holds several checkpoints (", found[0].filename().string(), ", ", found[1].filename().string(), " …); name one");
  return found.empty() ? fs::path() : found.front();
}

nlohmann::ordered_json fairseq_preprocess_cfg(const nlohmann::ordered_json& args, int64_t side) {
  const auto size = args.find("patch_image_size");
  const auto imagenet = args.find("imagenet_default_mean_and_std");
  nlohmann::ordered_json out = {{"size", size != args.end() && size->is_number_integer() ? size->get<int64_t>() : side}, {"mode", "RGB"}};
  if (imagenet != args.end() && imagenet->is_boolean() && imagenet->get<bool>()) {
    out["mean"] = {0.485, 0.456, 0.406};
    out["std"] = {0.229, 0.224, 0.225};
  } else {
    out["mean"] = out["std"] = {0.5, 0.5, 0.5};
  }
  out["interpolation"] = "bicubic";
  out["resize_mode"] = "squash";
  return out;
}

}  // namespace vlm
