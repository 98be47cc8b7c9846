#include "vlm/data/source_check.h"

#include "vlm/core/strings.h"

namespace vlm {

std::string SourceCheck::summary() const {
  std::vector<std::string> parts;
  for (const auto& [reason, count] : reasons) parts.push_back(concat(reason, "=", count));
  return concat(dataset, ": ", samples, " samples, ", skipped, " skipped",
                parts.empty() ? "" : " (" + join(parts, ", ") + ")");
}

nlohmann::ordered_json SourceCheck::to_json() const {
  auto counts = nlohmann::ordered_json::object();
  for (const auto& [reason, count] : reasons) counts[reason] = count;
  return {{"dataset", dataset}, {"samples", samples},   {"skipped", skipped},
          {"reasons", counts},  {"pictures", pictures}, {"picture_bytes", picture_bytes}};
}

SourceCheck check_source(const Source& source, const CheckOptions& options, const CheckReport& report) {
  SourceCheck check;
  check.dataset = source.name();
  const auto count = [&](const ScannedSample* scanned, const SampleError& error) {
    if (options.strict) throw error;
    ++check.skipped;
    ++check.reasons[error.reason()];
    report(scanned, &error);
  };
  for (const auto& problem : source.problems()) count(nullptr, problem);
  ScanOptions scan;
  scan.pictures = options.decode ? ScanOptions::Pictures::decode : ScanOptions::Pictures::header;
  scan.threads = options.threads;
  scan.label = "check";
  scan_source(source, scan, [&](ScannedSample&& scanned) {
    if (scanned.error) {
      count(&scanned, *scanned.error);
      return true;
    }
    ++check.samples;
    for (const auto& picture : scanned.pictures) {
      ++check.pictures;
      check.picture_bytes += picture.bytes;
    }
    report(&scanned, nullptr);
    return true;
  });
  return check;
}

}  // namespace vlm
