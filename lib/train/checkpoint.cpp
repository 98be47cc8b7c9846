#include "vlm/train/checkpoint.h"

#include <algorithm>
#include <cstdio>
#include <vector>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"

namespace vlm {

namespace fs = std::filesystem;

namespace checkpoint {

/// A checkpoint is complete when the file that is written last is there.
bool complete(const fs::path& folder) { return fs::exists(folder / "trainer.json"); }

std::vector<fs::path> all(const fs::path& run) {
  std::vector<fs::path> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(run / "checkpoints", error)) {
    const std::string name = entry.path().filename().string();
    if (entry.is_directory() && !entry.is_symlink() && starts_with(name, "step-") && !ends_with(name, ".part") && complete(entry.path())) {
      out.push_back(entry.path());
    }
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace checkpoint

void write_checkpoint(const fs::path& run, int64_t step, int keep, const std::function<void(const fs::path&)>& fill) {
  char name[32];
  std::snprintf(name, sizeof name, "step-%08ld", static_cast<long>(step));
  const fs::path folder = run / "checkpoints", place = folder / name, part = folder / (std::string(name) + ".part");
  with_context("checkpoint " + place.string(), [&] {
    std::error_code error;
    fs::remove_all(part, error);
    fs::create_directories(part, error);
    if (error) fail("cannot make the folder: ", error.message());
    fill(part);
    if (fs::exists(place)) fs::remove_all(place);
    fs::rename(part, place);
    const fs::path link = folder / "latest", fresh = folder / ".latest.part";
    fs::remove(fresh, error);
    fs::create_directory_symlink(name, fresh);
    fs::rename(fresh, link);
    auto others = checkpoint::all(run);
    for (size_t i = 0; i + static_cast<size_t>(std::max(1, keep)) < others.size(); ++i) fs::remove_all(others[i], error);
  });
}

fs::path latest_checkpoint(const fs::path& run) {
  const auto found = checkpoint::all(run);
  return found.empty() ? fs::path() : found.back();
}

fs::path checkpoint_to_resume(const fs::path& run, const std::string& resume) {
  if (resume == "none") return {};
  if (resume == "auto") return latest_checkpoint(run);
  if (checkpoint::complete(resume)) return resume;
  const fs::path found = latest_checkpoint(resume);
  if (found.empty()) fail_usage("--resume ", resume, ": neither a checkpoint nor a run with one (auto, none or a folder)");
  return found;
}

}  // namespace vlm
