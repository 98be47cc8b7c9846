#include "vlm/models/bert_config_file.h"

#include "vlm/core/error.h"
#include "vlm/core/json.h"
#include "vlm/io/atomic_file.h"

namespace vlm {

namespace fs = std::filesystem;

void read_named_bert_config(nlohmann::ordered_json& config, const fs::path& folder) {
  constexpr uintmax_t max_config = 1'000'000;
  if (!config.is_object() || !config.contains("bert_config") || !config["bert_config"].is_string()) return;
  const fs::path named = config["bert_config"].get<std::string>();
  for (const fs::path& file : {folder / named, folder / ".." / named, folder / named.filename()}) {
    if (!fs::is_regular_file(file)) continue;
    auto bert = parse_json<nlohmann::ordered_json>(read_file(file, max_config));
    if (!bert.is_object()) fail(file.string(), " is not a JSON object");
    config["bert_config"] = std::move(bert);
    return;
  }
}

}  // namespace vlm
