#include "vlm/io/weight_index.h"

#include <nlohmann/json.hpp>
#include <set>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/io/atomic_file.h"

namespace vlm {

namespace weight_index {

constexpr uintmax_t max_bytes = 256'000'000;
constexpr int max_depth = 64;

}  // namespace weight_index

bool is_weight_index(const std::filesystem::path& file) { return ends_with(file.string(), ".index.json"); }

std::map<std::string, std::filesystem::path> read_weight_index(const std::filesystem::path& index) {
  return with_context(index.string(), [&] {
    std::set<std::string> names;
    bool in_map = false;
    // The parser would keep the last of two entries with the same name, so names are watched as they come.
    const auto watch = [&](int depth, nlohmann::json::parse_event_t event, nlohmann::json& parsed) {
      if (depth > weight_index::max_depth) fail("nested too deep");
      if (event != nlohmann::json::parse_event_t::key) return true;
      if (depth == 1) in_map = parsed == "weight_map";
      if (depth == 2 && in_map && !names.insert(parsed.get<std::string>()).second) {
        fail("weight_map: the tensor '", parsed.get<std::string>(), "' stands in it twice");
      }
      return true;
    };
    const auto json = nlohmann::json::parse(read_file(index, weight_index::max_bytes), watch, false);
    if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object())
      fail("no object 'weight_map' in it");
    std::map<std::string, std::filesystem::path> out;
    std::set<std::string> present;
    for (const auto& [name, shard] : json["weight_map"].items()) {
      if (!shard.is_string()) fail("weight_map: '", name, "' does not name a file");
      const auto base = shard.get<std::string>();
      if (base.empty() || base.find_first_of("/\\") != std::string::npos || base.find("..") != std::string::npos) {
        fail("weight_map: '", base, "' is not a plain file name");
      }
      const auto file = index.parent_path() / base;
      if (!present.count(base)) {
        if (!std::filesystem::is_regular_file(file))
          fail("weight_map: the file ", base, ", which holds '", name, "', is missing");
        present.insert(base);
      }
      out.emplace(name, file);
    }
    return out;
  });
}

}  // namespace vlm
