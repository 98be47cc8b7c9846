#include "vlm/train/run_record.h"

#include <algorithm>
#include <fstream>

#include "vlm/core/error.h"
#include "vlm/core/json.h"
#include "vlm/io/atomic_file.h"

namespace vlm {

namespace run_record {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr uintmax_t largest_side_file = 64 << 20;  ///< of a recipe, or of a step's samples

struct Collected {
  std::map<std::string, std::map<int64_t, double>> steps, evaluations;
};

void add(std::map<std::string, std::map<int64_t, double>>& to, const std::string& name, int64_t step, const Json& value) {
  if (value.is_number()) to[name].insert_or_assign(step, value.get<double>());
}

/// The older form of an evaluation: {"image_to_text": {"R@1": …}, "text_to_image": …, "mean_recall": …}.
void add_old_report(Collected& out, int64_t step, const Json& report) {
  for (const auto& [name, value] : report.items()) {
    if (name == "mean_recall") add(out.evaluations, name, step, value);
    if (!value.is_object() || name == "chance") continue;
    for (const auto& [key, share] : value.items()) {
      if (key.substr(0, 2) == "R@") add(out.evaluations, name + "_recall" + key.substr(1), step, share);
    }
  }
}

void add_entry(Collected& out, int64_t step, const Json& entry) {
  if (entry.contains("eval")) {
    if (entry["eval"].is_object()) return add_old_report(out, step, entry["eval"]);
    if (!entry["eval"].is_string() || !entry.contains("metrics") || !entry["metrics"].is_object()) return;
    const std::string prefix = entry["eval"] == "validation" ? "" : entry["eval"].get<std::string>() + "/";
    for (const auto& [name, value] : entry["metrics"].items()) add(out.evaluations, prefix + name, step, value);
    return;
  }
  for (const auto& [key, value] : entry.items()) {
    if (key == "step" || key == "epoch" || key == "time") continue;
    add(out.steps, key, step, value);
    if (!value.is_object()) continue;
    for (const auto& [name, part] : value.items()) add(out.steps, (key == "losses" ? "loss" : key) + "/" + name, step, part);
  }
}

std::map<std::string, Series> in_order(const std::map<std::string, std::map<int64_t, double>>& collected) {
  std::map<std::string, Series> out;
  for (const auto& [name, values] : collected) out[name].assign(values.begin(), values.end());
  return out;
}

/// Null if there is no such file, or it is not what it should be.
Json read_side_file(const fs::path& file) {
  std::error_code error;
  if (!fs::is_regular_file(file, error) || fs::file_size(file, error) > largest_side_file) return nullptr;
  Json json = parse_json<Json>(read_file(file));
  return json.is_object() ? json : Json(nullptr);
}

fs::path log_of(const fs::path& folder) {
  std::error_code error;
  for (const char* name : {"metrics.jsonl", "log.jsonl"}) {
    if (fs::is_regular_file(folder / name, error)) return folder / name;
  }
  return {};
}

/// The last one by name that can be read: the newest may be half written by a process of another machine.
Json newest_samples(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (name.substr(0, 5) == "step-" && at->path().extension() == ".json") files.push_back(at->path());
  }
  std::sort(files.rbegin(), files.rend());
  for (const auto& file : files) {
    Json json = read_side_file(file);
    if (json.is_object() && json.contains("samples") && json["samples"].is_array()) return json;
  }
  return nullptr;
}

void flatten(const Json& json, const std::string& prefix, std::map<std::string, std::string>& out) {
  if (json.is_object() && !json.empty()) {
    for (const auto& [key, value] : json.items()) flatten(value, prefix.empty() ? key : prefix + "." + key, out);
  } else {
    out[prefix] = json.is_string() ? json.get<std::string>() : json.dump(-1, ' ', false, Json::error_handler_t::replace);
  }
}

}  // namespace run_record

bool is_run_folder(const std::filesystem::path& folder) { return !run_record::log_of(folder).empty(); }

RunRecord read_run(const std::filesystem::path& folder) {
  using namespace run_record;
  const fs::path log = log_of(folder);
  if (log.empty()) fail(folder.string(), " is no training run: it holds neither metrics.jsonl nor log.jsonl");
  RunRecord out;
  out.folder = folder;
  Collected collected;
  double first_time = 0, last_time = 0;
  std::ifstream in(log);
  if (!in) fail("cannot read ", log.string());
  for (std::string line; std::getline(in, line);) {
    const Json entry = parse_json<Json>(line);
    if (!entry.is_object() || !entry.contains("step") || !entry["step"].is_number_integer()) continue;
    const auto step = entry["step"].get<int64_t>();
    out.last_step = std::max(out.last_step, step);
    if (entry.contains("epoch") && entry["epoch"].is_number_integer()) out.last_epoch = std::max(out.last_epoch, entry["epoch"].get<int64_t>());
    if (entry.contains("time") && entry["time"].is_number()) {
      last_time = entry["time"].get<double>();
      if (first_time == 0) first_time = last_time;
    }
    add_entry(collected, step, entry);
  }
  out.steps = in_order(collected.steps);
  out.evaluations = in_order(collected.evaluations);
  out.seconds = std::max(0.0, last_time - first_time);
  std::error_code error;
  out.finished = fs::is_directory(folder / "model", error);
  out.recipe = read_side_file(folder / "recipe.json");
  out.samples = newest_samples(folder / "samples");
  return out;
}

Series thin_out(const Series& series, size_t most) {
  if (series.size() <= most || most == 0) return series;
  Series out;
  for (size_t i = 0; i < most; ++i) {
    const size_t begin = i * series.size() / most, end = (i + 1) * series.size() / most;
    double sum = 0;
    for (size_t k = begin; k < end; ++k) sum += series[k].second;
    out.emplace_back(series[(begin + end - 1) / 2].first, sum / static_cast<double>(end - begin));
  }
  out.front().first = series.front().first;
  out.back().first = series.back().first;
  return out;
}

std::map<std::string, std::string> flat_keys(const nlohmann::ordered_json& json) {
  std::map<std::string, std::string> out;
  if (json.is_object()) run_record::flatten(json, "", out);
  return out;
}

}  // namespace vlm
