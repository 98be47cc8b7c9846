#pragma once
/// JSON files that are one long list, or an object of long lists: read once, item by item, so that memory holds one item and
/// not the file. Files are data from strangers: nesting deeper than 64 levels is refused.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vlm {

/// Gets each item of a list, in order.
using JsonItemHandler = std::function<void(nlohmann::json&& item)>;

/// Reads the list at the top of the file. Throws an Error that names the file if it cannot be opened, does not parse (with
/// the place), is nested too deeply, or is no list.
void for_each_json_item(const std::filesystem::path& file, const JsonItemHandler& handler);

/// Reads the lists under these keys of an object; other keys are passed over, but for those in `values`, whose values are
/// set if they are there. Also throws if a key of `lists` is missing or no list.
void for_each_json_item(const std::filesystem::path& file, const std::map<std::string, JsonItemHandler>& lists,
                        std::map<std::string, nlohmann::json>* values = nullptr);

/// What the beginning of a JSON file looks like.
struct JsonShape {
  bool list = false;                                            ///< the file is a list; otherwise an object
  std::vector<std::string> item_keys;                           ///< of the first item, if that is an object
  std::map<std::string, std::vector<std::string>> first_items;  ///< of an object: keys of the first item of each list in it
  std::vector<std::string> keys;                                ///< of an object: its own keys, as far as was read
  bool has(std::string_view key) const;                         ///< among item_keys
  bool has(const std::string& list, std::string_view key) const;  ///< among first_items of that list
};

/// Reads until `enough` says so or the first value ends (a file of JSON lines has more); throws as above.
JsonShape read_json_shape(const std::filesystem::path& file, const std::function<bool(const JsonShape&)>& enough);

/// One JSON value with the same limit of depth; discarded if it does not parse.
nlohmann::json parse_json_line(std::string_view line);

/// A string with something besides white space under `key`; null if there is none.
const std::string* text_of(const nlohmann::json& row, const char* key);
/// A whole number under `key`.
std::optional<int64_t> integer_of(const nlohmann::json& row, const char* key);
/// One text for equal JSON values, whatever way numbers are written: 1 and 1.0 are equal, 1 and "1" are not.
std::string identity_of(const nlohmann::json& value);

}  // namespace vlm
