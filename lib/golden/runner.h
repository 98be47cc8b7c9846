#pragma once
/// Runs golden cases and compares; behind `vlm golden` and the tests.

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace vlm::golden {

struct Report {
  std::filesystem::path folder;
  std::string kind;
  bool passed = false;
  std::string worst_output;  ///< the output with the largest error relative to its tolerance
  double worst_ratio = 0;    ///< that error over the tolerance; above 1 fails
  std::string message;       ///< why it failed, if it did
};

/// Folders below `roots` that hold a case.json, sorted.
std::vector<std::filesystem::path> find_cases(const std::vector<std::filesystem::path>& roots);

/// Runs one case. `root` empty: the nearest folder above the case that holds vocab/. Never throws: what goes wrong is a
/// failed report. An unknown kind is a failure.
Report run_case(const std::filesystem::path& folder, const std::filesystem::path& root = {});

/// The kind named in a case's case.json, or "" if it cannot be read.
std::string kind_of(const std::filesystem::path& folder);

}  // namespace vlm::golden
