#include "vlm/data/skips.h"

#include "vlm/core/log.h"
#include "vlm/core/strings.h"

namespace vlm {

void SkipCounter::skip(const SampleError& error) {
  std::lock_guard lock(mutex_);
  if (strict_) throw error;
  ++skipped_;
  ++reasons_[error.reason()];
  bool& warned = warned_[error.reason()];
  if (!warned) log_warning(dataset_, ": skipped ", error.what(), "; further ones are only counted");
  warned = true;
}

void SkipCounter::use(int64_t samples) {
  std::lock_guard lock(mutex_);
  used_ += samples;
}

int64_t SkipCounter::used() const {
  std::lock_guard lock(mutex_);
  return used_;
}

int64_t SkipCounter::skipped() const {
  std::lock_guard lock(mutex_);
  return skipped_;
}

std::map<std::string, int64_t> SkipCounter::reasons() const {
  std::lock_guard lock(mutex_);
  return reasons_;
}

std::vector<std::string> SkipCounter::counts() const {
  std::vector<std::string> out;
  for (const auto& [reason, count] : reasons()) out.push_back(concat(reason, "=", count));
  return out;
}

std::string SkipCounter::summary() const {
  const auto parts = counts();
  return concat(dataset_, ": ", used(), " samples, ", skipped(), " skipped",
                parts.empty() ? "" : " (" + join(parts, ", ") + ")");
}

void SkipCounter::check(double max_skip_fraction) const {
  const auto looked_at = static_cast<double>(used() + skipped());
  if (static_cast<double>(skipped()) > max_skip_fraction * looked_at) {
    fail(summary(), "; that is more than the share ", max_skip_fraction,
         " that max_skip_fraction allows. Look at the first warnings: as a rule an option does not fit the data");
  }
}

void SkipCounter::reset() {
  std::lock_guard lock(mutex_);
  used_ = skipped_ = 0;
  reasons_.clear();
}

}  // namespace vlm
