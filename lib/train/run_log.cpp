#include "vlm/train/run_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>

#include "vlm/core/error.h"
#include "vlm/core/json.h"
#include "vlm/core/log.h"
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
  descriptor_ = ::open(file_.c_str(), O_WRONLY | O_CLOEXEC);
  if (descriptor_ < 0) fail("cannot write ", file_.string(), ": ", std::strerror(errno));
  size_ = static_cast<int64_t>(std::filesystem::file_size(file_));
  // TensorBoard drops the step that a session starts with, too, and that one is kept here.
  if (options.tensorboard) events_ = std::make_unique<EventFile>(run / "tensorboard", from_step > 0 ? from_step + 1 : 0);
}

RunLog::~RunLog() {
  if (!write_kept()) log_warning("the last lines of ", file_.string(), " could not be written and are missing there");
  if (dropped_ > 0) log_warning(dropped_, " lines of ", file_.string(), " are missing");
  ::close(descriptor_);
}

void RunLog::step(const nlohmann::ordered_json& entry) {
  using namespace run_log;
  const int64_t step = step_of(entry);
  write(entry);
  if (!events_) return;
  std::vector<std::pair<std::string, double>> scalars;
  for (const auto& [key, value] : entry.items()) {
    if (key != "step" && key != "time") append_scalars(scalars, key == "losses" ? "loss" : key, value);
  }
  to_events([&](EventFile& events) { events.scalars(step, scalars); });
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
  to_events([&](EventFile& events) { events.scalars(step, scalars); });
}

void RunLog::text(const std::string& tag, int64_t step, const std::string& markdown) {
  to_events([&](EventFile& events) { events.text(step, tag, markdown); });
}

void RunLog::write(nlohmann::ordered_json entry) {
  if (!entry.contains("time")) {
    const double now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
    entry["time"] = std::round(now * 1000) / 1000;
  }
  constexpr size_t most_kept = 64 << 20;
  const std::string line = entry.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  if (kept_.size() + line.size() <= most_kept) {
    kept_ += line;
  } else {
    dropped_ += 1;
  }
  if (write_kept()) {
    if (warned_) log_info(file_.string(), " can be written again");
    warned_ = false;
  } else if (!warned_) {
    warned_ = true;
    log_warning("cannot write ", file_.string(), ": ", std::strerror(errno), "; training goes on, and what is missing there is tried again");
  }
}

bool RunLog::write_kept() {
  size_t done = 0;
  while (done < kept_.size()) {
    const ssize_t n = ::pwrite(descriptor_, kept_.data() + done, kept_.size() - done, static_cast<off_t>(size_) + static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      const int error = n == 0 ? ENOSPC : errno;
      // Half a line is taken back, so that the file can be read in the meantime.
      [[maybe_unused]] const int cut = ::ftruncate(descriptor_, static_cast<off_t>(size_));
      errno = error;
      return false;
    }
    done += static_cast<size_t>(n);
  }
  size_ += static_cast<int64_t>(kept_.size());
  kept_.clear();
  return true;
}

void RunLog::to_events(const std::function<void(EventFile&)>& write) {
  if (!events_) return;
  try {
    write(*events_);
  } catch (const Error& error) {
    log_warning(error.what(), "; training goes on, and TensorBoard shows it up to here");
    events_.reset();
  }
}

}  // namespace vlm
