#pragma once
/// Every sample of a data set read and every picture decoded, and what is wrong listed with its place (specs: data, 1.1).

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "vlm/data/source_scan.h"

namespace vlm {

struct SourceCheck {
  std::string dataset;
  int64_t samples = 0, skipped = 0, pictures = 0;
  uint64_t picture_bytes = 0;
  std::map<std::string, int64_t> reasons;

  /// "<dataset>: N samples, M skipped (reason=count, ...)".
  std::string summary() const;
  nlohmann::ordered_json to_json() const;
};

struct CheckOptions {
  bool decode = true;   ///< false: pictures' headers only
  bool strict = false;  ///< the first sample that cannot be used is thrown on
  int64_t threads = 0;  ///< 0: one for each core
};

/// `report` gets what belongs to no sample first (source.problems(), with `scanned` null), then every sample, good or bad,
/// in order.
using CheckReport = std::function<void(const ScannedSample* scanned, const SampleError* error)>;
SourceCheck check_source(const Source& source, const CheckOptions& options, const CheckReport& report);

}  // namespace vlm
