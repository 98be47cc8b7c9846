#include "bench_report.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

namespace vlm::apps::bench {

std::vector<double> timed(const std::function<void()>& step, double seconds) {
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  for (int i = 0; i < 2; ++i) step();
  std::vector<double> runs;
  const auto begin = Clock::now();
  while (runs.size() < 3 || since(begin) < seconds) {
    const auto start = Clock::now();
    step();
    runs.push_back(since(start));
  }
  return runs;
}

int64_t peak_memory_mb() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024;
}

void report(const std::string& task, const std::string& precision, int threads, double per_run, const std::vector<double>& runs,
            const std::string& unit, const nlohmann::ordered_json& more) {
  std::vector<double> rates;
  for (const double run : runs) rates.push_back(per_run / run);
  std::vector<double> sorted = rates;
  std::sort(sorted.begin(), sorted.end());
  const size_t middle = sorted.size() / 2;
  const double median = sorted.size() % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  nlohmann::ordered_json out = {{"task", task}, {"who", "vlm"}, {"precision", precision}, {"threads", threads}, {"value", median}, {"unit", unit}, {"runs", rates}};
  for (const auto& [key, value] : more.items()) out[key] = value;
  std::puts(out.dump().c_str());
}

}  // namespace vlm::apps::bench
