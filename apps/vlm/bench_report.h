#pragma once
/// Timing loop and output line of the benchmarks, as the scripts of the tools that they are compared with have them.

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace vlm::apps::bench {

/// Seconds of each run, after two that do not count, for about so many seconds; at least three.
std::vector<double> timed(const std::function<void()>& step, double seconds);

/// The most memory that this process has held so far.
int64_t peak_memory_mb();

/// One JSON line: "value" is the median rate. per_run: pieces of work in a run.
void report(const std::string& task, const std::string& precision, int threads, double per_run, const std::vector<double>& runs,
            const std::string& unit, const nlohmann::ordered_json& more = {});

}  // namespace vlm::apps::bench
