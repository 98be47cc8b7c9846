#include "vlm/models/mplug/folder.h"

#include <nlohmann/json.hpp>

#include "vlm/core/config.h"
#include "vlm/core/error.h"
#include "vlm/core/json.h"
#include "vlm/io/atomic_file.h"
#include "vlm/models/bert_config_file.h"

namespace vlm {

namespace fs = std::filesystem;

namespace mplug_folder {

constexpr uintmax_t max_config = 1'000'000;

bool has_keys(const nlohmann::ordered_json& json) {
  return json.is_object() && json.contains("bert_config") && (json.contains("clip_name") || json.contains("clip_vision_width"));
}

nlohmann::ordered_json object_in(const fs::path& file) {
  auto json = parse_json<nlohmann::ordered_json>(read_file(file, max_config));
  if (!json.is_object()) fail(file.string(), " is not a JSON object");
  return json;
}

}  // namespace mplug_folder

bool is_mplug_folder(const fs::path& folder) {
  const fs::path file = folder / "config.yaml";
  if (!fs::exists(file) || fs::file_size(file) > mplug_folder::max_config) return false;
  try {
    return mplug_folder::has_keys(Config::load(file).to_json());
  } catch (const Error&) {
    return false;
  }
}

std::string read_mplug_config(const fs::path& folder) {
  auto json = Config::load(folder / "config.yaml").to_json();
  read_named_bert_config(json, folder);
  if (json.contains("bert_config") && json["bert_config"].is_string()) {
    fail((folder / "config.yaml").string(), ": bert_config is ", json["bert_config"].get<std::string>(), ", which is not in the folder");
  }
  if (const fs::path packaging = folder / "configuration.json"; !json.contains("task") && fs::exists(packaging)) {
    const auto described = mplug_folder::object_in(packaging);
    if (described.contains("task") && described["task"].is_string()) json["task"] = described["task"];
  }
  return json.dump();
}

bool is_mplug_config(const std::string& text) {
  const auto json = parse_json<nlohmann::ordered_json>(text);
  return json.is_object() && (json.contains("model_type") ? json["model_type"] == "mplug" : mplug_folder::has_keys(json));
}

}  // namespace vlm
