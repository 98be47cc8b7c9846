#pragma once
/// Counts what was skipped and why (specs: data, 1.1).

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "vlm/data/sample.h"

namespace vlm {

/// Threads may share one.
class SkipCounter {
 public:
  /// `dataset` is what messages call the data set. `strict`: the first skip ends the run.
  explicit SkipCounter(std::string dataset, bool strict = false) : dataset_(std::move(dataset)), strict_(strict) {}

  /// One sample is left out. The first of each reason is a warning with its place; with `strict` it is thrown on.
  void skip(const SampleError& error);
  /// So many samples were of use.
  void use(int64_t samples = 1);

  int64_t used() const;
  int64_t skipped() const;
  std::map<std::string, int64_t> reasons() const;
  /// "reason=count", in byte order.
  std::vector<std::string> counts() const;
  /// "<dataset>: N samples, M skipped (reason=count, ...)".
  std::string summary() const;
  /// Throws if more than this share of what was looked at was skipped: that is a wrong option rather than a dirty set.
  void check(double max_skip_fraction) const;
  /// Back to zero, for the next epoch; reasons that were warned about stay so.
  void reset();

 private:
  mutable std::mutex mutex_;
  std::string dataset_;
  bool strict_;
  int64_t used_ = 0, skipped_ = 0;
  std::map<std::string, int64_t> reasons_;
  std::map<std::string, bool> warned_;
};

}  // namespace vlm
