#pragma once
/// Typed access to a config.json of HF's layout. Such files hold many keys that change no result, so unknown ones are passed
/// over; a known key of the wrong type is an Error that names file and key.

#include <nlohmann/json.hpp>

#include <string>

#include "vlm/core/error.h"
#include "vlm/core/json.h"

namespace vlm {

class HfConfig {
 public:
  /// `name` is the file, for messages.
  HfConfig(const std::string& text, std::string name) : name_(std::move(name)) {
    json_ = parse_json(text);
    if (json_.is_object()) return;
    if (text.rfind("version https://git-lfs", 0) == 0) fail(name_, " is a Git LFS pointer, not the file itself: fetch it with 'git lfs pull'");
    if (text.find_first_not_of(" \t\r\n") != std::string::npos && text[text.find_first_not_of(" \t\r\n")] == '<') {
      fail(name_, " looks like a web page, not like JSON: the download went wrong");
    }
    fail(name_, " is not a JSON object");
  }

  /// The object under a key; empty where there is none.
  HfConfig part(const char* key) const {
    const auto it = json_.find(key);
    if (it != json_.end() && !it->is_null() && !it->is_object()) fail(name_, ": ", key, " must be an object");
    return {it == json_.end() || it->is_null() ? nlohmann::json::object() : *it, name_ + ": " + key};
  }
  int64_t integer(const char* key, int64_t otherwise) const { return get<int64_t>(key, otherwise, &nlohmann::json::is_number_integer, "an integer"); }
  /// An integer of at least 1.
  int64_t size(const char* key, int64_t otherwise) const {
    const int64_t value = integer(key, otherwise);
    if (value < 1 || value > 100'000'000) fail(name_, ": ", key, " must be a positive number of reasonable size, not ", value);
    return value;
  }
  double number(const char* key, double otherwise) const { return get<double>(key, otherwise, &nlohmann::json::is_number, "a number"); }
  bool flag(const char* key, bool otherwise) const { return get<bool>(key, otherwise, &nlohmann::json::is_boolean, "true or false"); }
  std::string text(const char* key, const std::string& otherwise) const { return get<std::string>(key, otherwise, &nlohmann::json::is_string, "a text"); }
  bool has(const char* key) const { return json_.contains(key); }
  const nlohmann::json& json() const { return json_; }
  const std::string& name() const { return name_; }

 private:
  HfConfig(nlohmann::json json, std::string name) : json_(std::move(json)), name_(std::move(name)) {}

  template <class T>
  T get(const char* key, const T& otherwise, bool (nlohmann::json::*is)() const noexcept, const char* what) const {
    const auto it = json_.find(key);
    if (it == json_.end() || it->is_null()) return otherwise;
    if (!((*it).*is)()) fail(name_, ": ", key, " must be ", what);
    return it->get<T>();
  }

  nlohmann::json json_;
  std::string name_;
};

}  // namespace vlm
