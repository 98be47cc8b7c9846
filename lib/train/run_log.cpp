#include "vlm/train/run_log.h"

#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>

#include "vlm/core/error.h"
#include "vlm/core/json.h"
#include "vlm/io/atomic_file.h"
#include "vlm/train/event_file.h"

namespace vlm {

namespace run_log {

using Json = nlohmann::ordered_json;

int64_t step_of(const Json& entry) {
  if (!entry.is_object() || !entry.contains("step") || !entry["step"].is_number_integer()) {
    fail("an entry of the log has no step: ", entry.dump(-1, ' ', false, Json::error_handler_t::replace));
  }
  return entry["step"].get<int64_t>();
}

std::string evaluation_of(const Json& entry) {
  return entry.contains("eval") && entry["eval"].is_string() ? entry["eval"].get<std::string>() : "";
}

void append_scalars(std::vector<std::pair<std::string, double>>& out, const std::string& tag, const Json& value) {
  if (value.is_number()) {
    out.emplace_back(tag, value.get<double>());
  } else if (value.is_object()) {
    for (const auto& [name, part] : value.items()) {
      if (part.is_number()) out.emplace_back(tag + "/" + name, part.get<double>());
    }
  }
}

}  // namespace run_log

RunLog::RunLog(const std::filesystem::path& run, int64_t from_step, const RunLogOptions& options) : file_(run / "metrics.jsonl") {
  using namespace run_log;
  write_file_atomically(file_, [&](std::ostream& kept) {
    std::ifstream in(file_);
    if (from_step <= 0 || !in) return;
    for (std::string line; std::getline(in, line);) {
      const Json entry = parse_json<Json>(line);
      if (!entry.is_object() || !entry.contains("step") || !entry["step"].is_number_integer() || step_of(entry) > from_step) continue;
      const std::string name = evaluation_of(entry);
      if (!name.empty() && !evaluated_.emplace(step_of(entry), name).second) continue;
      kept << line << "\n";
    }
  });
  out_.open(file_, std::ios::app);
  if (!out_) fail("cannot write ", file_.string(), ": ", std::strerror(errno));
  // TensorBoard drops the step that a session starts with, too, and that one is kept here.
  if (options.tensorboard) events_ = std::make_unique<EventFile>(run / "tensorboard", from_step > 0 ? from_step + 1 : 0);
}

RunLog::~RunLog() = default;

void RunLog::step(const nlohmann::ordered_json& entry) {
  using namespace run_log;
  const int64_t step = step_of(entry);
  write(entry);
  if (!events_) return;
  std::vector<std::pair<std::string, double>> scalars;
  for (const auto& [key, value] : entry.items()) {
    if (key != "step" && key != "time") append_scalars(scalars, key == "losses" ? "loss" : key, value);
  }
  events_->scalars(step, scalars);
}

void RunLog::evaluation(const nlohmann::ordered_json& entry) {
  using namespace run_log;
  const int64_t step = step_of(entry);
  const std::string name = evaluation_of(entry);
  if (name.empty()) fail("an evaluation in the log has no name");
  if (!evaluated_.emplace(step, name).second) return;
  write(entry);
  if (!events_ || !entry.contains("metrics")) return;
  std::vector<std::pair<std::string, double>> scalars;
  append_scalars(scalars, name == "validation" ? "eval" : "eval/" + name, entry["metrics"]);
  events_->scalars(step, scalars);
}

void RunLog::text(const std::string& tag, int64_t step, const std::string& markdown) {
  if (events_) events_->text(step, tag, markdown);
}

void RunLog::write(nlohmann::ordered_json entry) {
  if (!entry.contains("time")) {
    const double now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
    entry["time"] = std::round(now * 1000) / 1000;
  }
  out_ << entry.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  out_.flush();
  if (!out_) fail("cannot write ", file_.string(), ": ", std::strerror(errno ? errno : EIO));
}

}  // namespace vlm
