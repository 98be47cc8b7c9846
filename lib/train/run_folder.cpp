#include "vlm/train/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "vlm/core/error.h"
#include "vlm/core/log.h"
#include "vlm/core/strings.h"

namespace vlm {

namespace run_folder {

/// "a.b.c" -> value as text; lists count as one value.
void flatten(const nlohmann::ordered_json& json, const std::string& prefix, std::map<std::string, std::string>& out) {
  if (!json.is_object()) {
    out[prefix] = json.dump();
    return;
  }
  for (const auto& [key, value] : json.items()) flatten(value, prefix.empty() ? key : prefix + "." + key, out);
}

bool begins_with_one_of(const std::string& key, const std::vector<const char*>& prefixes) {
  for (const char* prefix : prefixes) {
    if (starts_with(key, prefix)) return true;
  }
  return false;
}

}  // namespace run_folder

RunFolderLock::RunFolderLock(const std::filesystem::path& run) {
  std::error_code error;
  std::filesystem::create_directories(run, error);
  if (error) fail("cannot make the run's folder ", run.string(), ": ", error.message());
  const auto file = run / ".lock";
  descriptor_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail("cannot write in the run's folder ", run.string(), ": ", std::strerror(errno));
  // File systems without locks let everybody in, as before.
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    ::close(descriptor_);
    fail_usage("another process is training in ", run.string(), "; wait for it, or take another folder with out=DIR");
  }
}

RunFolderLock::~RunFolderLock() { ::close(descriptor_); }

void check_recipe_goes_on(const nlohmann::ordered_json& before, const nlohmann::ordered_json& now) {
  // Where things are, how fast they come and how often they are looked at changes nothing in the curve.
  static const std::vector<const char*> harmless = {"out", "eval.", "data.threads", "data.prefetch", "data.cache_mb", "data.val.", "data.strict",
                                                    "data.max_skip_fraction", "data.ignore_data_change", "model.init", "model.tokenizer",
                                                    "train.eval_every", "train.save_", "train.keep_", "train.bucket_mb", "train.tensorboard",
                                                    "train.patience", "train.best_metric", "train.nan_limit", "train.zero1", "train.recompute",
                                                    "train.epochs", "train.steps"};
  static const std::vector<const char*> fixed = {"model.family", "model.config", "model.freeze", "model.unfreeze", "objective", "train.optimizer.name",
                                                 "train.ema.enabled"};
  std::map<std::string, std::string> old_values, new_values;
  run_folder::flatten(before, "", old_values);
  run_folder::flatten(now, "", new_values);
  std::set<std::string> keys;
  for (const auto& [key, value] : old_values) keys.insert(key);
  for (const auto& [key, value] : new_values) keys.insert(key);
  std::vector<std::string> refused, told;
  for (const auto& key : keys) {
    const std::string was = old_values.count(key) ? old_values[key] : "not set", is = new_values.count(key) ? new_values[key] : "not set";
    if (was == is || run_folder::begins_with_one_of(key, harmless)) continue;
    const std::string change = key + " (" + was + " before, " + is + " now)";
    (run_folder::begins_with_one_of(key, fixed) ? refused : told).push_back(change);
  }
  if (!refused.empty()) {
    fail_usage("the run was begun with another recipe: ", join(refused, ", "), "; start anew with --resume none, or in another folder with out=DIR");
  }
  if (!told.empty()) log_warning("the recipe has changed since the checkpoint, and the curve with it: ", join(told, ", "));
}

}  // namespace vlm
