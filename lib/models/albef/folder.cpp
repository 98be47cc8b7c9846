#include "vlm/models/albef/folder.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "vlm/core/config.h"
#include "vlm/core/error.h"
#include "vlm/core/log.h"
#include "vlm/core/strings.h"
#include "vlm/models/bert_config_file.h"

namespace vlm {

namespace fs = std::filesystem;

namespace albef_folder {

using Json = nlohmann::ordered_json;

constexpr uintmax_t max_config = 1'000'000;

/// `error`: where it is put that a file cannot be read.
bool has_keys(const fs::path& yaml, std::string* error = nullptr) {
  if (!fs::is_regular_file(yaml) || fs::file_size(yaml) > max_config) return false;
  try {
    const Json json = Config::load(yaml).to_json();
    return json.is_object() && json.contains("bert_config") && json.contains("image_res") && !json.contains("clip_name");
  } catch (const Error& broken) {
    if (error) *error = broken.what();
    return false;
  }
}

/// Files of a folder by name.
std::vector<fs::path> files_in(const fs::path& folder, const std::string& extension) {
  std::vector<fs::path> out;
  if (!fs::is_directory(folder)) return out;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == extension) out.push_back(entry.path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

/// What the public projects call the configurations of a task.
bool is_called_after(const fs::path& yaml, AlbefTask task) {
  const std::string stem = ascii_lower(yaml.stem().string());
  switch (task) {
    case AlbefTask::pretrain: return stem == "pretrain";
    case AlbefTask::retrieval: return starts_with(stem, "retrieval");
    case AlbefTask::vqa: return starts_with(stem, "vqa");
    case AlbefTask::entailment: return starts_with(stem, "ve");
    case AlbefTask::nlvr: return stem == "nlvr";
    case AlbefTask::text_assignment: return starts_with(stem, "nlvr_pretrain");
  }
  return false;
}

/// Values of `given` for the keys of `own` that shapes do not tell; for those that they tell, a line for each contradiction.
void take(const Json& given, Json& own, const std::vector<std::string>& told_by_shapes,
          const std::vector<std::string>& left_alone, std::vector<std::string>& contradictions) {
  const auto holds = [](const std::vector<std::string>& list, const std::string& key) {
    return std::find(list.begin(), list.end(), key) != list.end();
  };
  for (auto it = own.begin(); it != own.end(); ++it) {
    const auto other = given.find(it.key());
    if (other == given.end() || other->is_null() || it->is_object() || holds(left_alone, it.key())) continue;
    if (!holds(told_by_shapes, it.key())) {
      *it = *other;
    } else if (*other != *it) {
      contradictions.push_back(concat(it.key(), " ", other->dump(), ", the weights ", it->dump()));
    }
  }
}

}  // namespace albef_folder

bool is_albef_folder(const fs::path& folder) {
  return !fs::exists(folder / "config.json") && albef_folder::has_keys(folder / "config.yaml");
}

fs::path albef_checkpoint_in(const fs::path& folder) {
  if (fs::exists(folder / "checkpoint_best.pth")) return folder / "checkpoint_best.pth";
  const auto found = albef_folder::files_in(folder, ".pth");
  return found.empty() ? fs::path() : found.back();
}

fs::path find_albef_yaml(const fs::path& folder, AlbefTask task) {
  using namespace albef_folder;
  std::string error;
  if (has_keys(folder / "config.yaml", &error)) return folder / "config.yaml";
  if (!error.empty()) log_warning(error, "; it is passed over, and the shapes of the weights are taken");
  for (const fs::path& place : {folder, folder / "configs"}) {
    for (const auto& yaml : files_in(place, ".yaml")) {
      if (is_called_after(yaml, task) && has_keys(yaml)) return yaml;
    }
  }
  return {};
}

AlbefConfig read_albef_yaml(const fs::path& yaml, const TensorMap& weights) {
  using namespace albef_folder;
  Json given = Config::load(yaml).to_json();
  read_named_bert_config(given, yaml.parent_path().empty() ? fs::path(".") : yaml.parent_path());
  Json own = AlbefConfig::from_weights(weights).to_json();
  std::vector<std::string> contradictions, told = {"vision_width", "patch_size", "vision_depth"};
  // What has no projections is compared by none, whatever width the run names.
  std::vector<std::string> left_alone = {"model_type",     "task",
                                         "mlp_ratio",      "queue_size",
                                         "idx_queue",      "momentum_copies",
                                         "codebook_size",  "independent_features",
                                         "decoder_layers", "two_picture_layers"};
  (weights.count("vision_proj.weight") ? told : left_alone).push_back("embed_dim");
  take(given, own, told, left_alone, contradictions);
  if (const auto bert = given.find("bert_config"); bert != given.end() && bert->is_object()) {
    take(*bert, own["bert_config"],
         {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "max_position_embeddings",
          "type_vocab_size", "encoder_width", "fusion_layer"},
         {"architectures", "model_type"}, contradictions);
  }
  if (!contradictions.empty()) {
    fail(yaml.string(), " is not the configuration of these weights: it says ", join(contradictions, "; "),
         ". Put the right file there, or take it away: shapes say enough");
  }
  return AlbefConfig::from_json(own.dump(), yaml.string());
}

}  // namespace vlm
