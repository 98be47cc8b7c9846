#pragma once
/// A run's folder belongs to one trainer at a time, and to one recipe.

#include <filesystem>
#include <nlohmann/json_fwd.hpp>

namespace vlm {

/// Holds the folder while it lives; ends with the process however that ends.
class RunFolderLock {
 public:
  /// Makes the folder if needed. Throws a usage error if another process holds it.
  explicit RunFolderLock(const std::filesystem::path& run);
  ~RunFolderLock();
  RunFolderLock(const RunFolderLock&) = delete;
  RunFolderLock& operator=(const RunFolderLock&) = delete;

 private:
  int descriptor_ = -1;
};

/// Holds the recipe that a checkpoint was made with against the present one. Throws a usage error that names the keys that
/// cannot change in the middle of a run (model, objective, optimiser); warns about others that change the curve.
void check_recipe_goes_on(const nlohmann::ordered_json& before, const nlohmann::ordered_json& now);

}  // namespace vlm
