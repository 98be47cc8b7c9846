#include "vlm/data/answer_set.h"

#include <nlohmann/json.hpp>
#include <set>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/io/atomic_file.h"
#include "vlm/text/unicode.h"

namespace vlm {

std::vector<std::string> read_answer_set(const std::filesystem::path& file) {
  const std::string content = read_file(file, uintmax_t(1) << 28);
  std::vector<std::string> out;
  if (file.extension() == ".json") {
    const auto json = nlohmann::ordered_json::parse(content, nullptr, false);
    if (!json.is_array() && !json.is_object()) fail(file.string(), ": neither a JSON list of answers nor an object that has them as keys");
    for (const auto& [key, value] : json.items()) {
      if (json.is_array() && !value.is_string()) fail(file.string(), ": item ", key, " of the list is no string");
      out.push_back(json.is_array() ? value.get<std::string>() : key);
    }
  } else {
    if (!valid_utf8(content)) fail(file.string(), " is no text file; answers stand in lines, or in a JSON list or object (*.json)");
    out = split(content, "\n");
    if (!out.empty() && out.back().empty()) out.pop_back();
  }
  std::set<std::string> known;
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = std::string(strip(out[i]));
    if (out[i].empty()) fail(file.string(), ": answer ", i + 1, " is empty");
    if (!known.insert(out[i]).second) fail(file.string(), ": '", out[i], "' is there twice");
  }
  if (out.empty()) fail(file.string(), " holds no answers");
  return out;
}

}  // namespace vlm
