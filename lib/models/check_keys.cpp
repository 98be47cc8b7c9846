#include "vlm/models/check_keys.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"

namespace vlm {

void check_known_keys(const std::string& what, const nlohmann::ordered_json& given, const nlohmann::ordered_json& written,
                      std::vector<std::string> also) {
  for (const auto& entry : written.items()) also.push_back(entry.key());
  for (const auto& entry : given.items()) {
    if (std::find(also.begin(), also.end(), entry.key()) == also.end())
      fail_usage(what, " has no option '", entry.key(), "'", did_you_mean(entry.key(), also));
  }
}

void check_known_keys_under(const char* key, const std::string& what, const nlohmann::ordered_json& given,
                            const nlohmann::ordered_json& written, std::vector<std::string> also) {
  if (given.contains(key) && given[key].is_object()) check_known_keys(what, given[key], written.at(key), std::move(also));
}

}  // namespace vlm
