#include "vlm/models/mplug/folder.h"

#include <nlohmann/json.hpp>

#include "vlm/core/config.h"
#include "vlm/core/error.h"
#include "vlm/core/json.h"
#include "vlm/io/atomic_file.h"

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
  if (json.contains("bert_config") && json["bert_config"].is_string()) {
    // Training scripts name the file by its place in their repository.
    const fs::path named = json["bert_config"].get<std::string>();
    const fs::path file = fs::exists(folder / named.filename()) ? folder / named.filename() : folder / named;
    if (!fs::exists(file)) fail((folder / "config.yaml").string(), ": bert_config is ", named.string(), ", which is not in the folder");
    json["bert_config"] = mplug_folder::object_in(file);
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
