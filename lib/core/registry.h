#pragma once
/// Things that are chosen by name in a recipe or a model folder.

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"

namespace vlm {

/// Name -> Value (a factory, as a rule). `what` is the noun of its messages: "unknown objective 'x' (…)".
template <class Value>
class Registry {
 public:
  explicit Registry(std::string what) : what_(std::move(what)) {}

  void add(const std::string& name, Value value) {
    if (!entries_.emplace(name, std::move(value)).second) fail(what_, " '", name, "' is registered twice");
  }
  const Value* find(const std::string& name) const {
    const auto it = entries_.find(name);
    return it == entries_.end() ? nullptr : &it->second;
  }
  /// Throws a usage error that lists what there is and names the nearest.
  const Value& get(const std::string& name) const {
    if (const Value* value = find(name)) return *value;
    fail_usage("unknown ", what_, " '", name, "'", did_you_mean(name, names()), "; there are: ", join(names(), ", "));
  }
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& [name, value] : entries_) out.push_back(name);
    return out;
  }

 private:
  std::string what_;
  std::map<std::string, Value> entries_;
};

}  // namespace vlm
