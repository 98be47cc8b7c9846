#include "vlm/core/progress.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>

#include "vlm/core/log.h"
#include "vlm/core/strings.h"

namespace vlm {

namespace progress_line {
std::atomic<bool> open{false};
LogLevel level = LogLevel::info;
}  // namespace progress_line

void set_log_level(LogLevel level) { progress_line::level = level; }

void clear_progress_line() {
  if (progress_line::open.exchange(false)) std::fputs("\r\033[K", stderr);
}

void write_log(LogLevel level, const std::string& prefix, const std::string& message) {
  if (level > progress_line::level) return;
  clear_progress_line();
  std::fprintf(stderr, "vlm: %s%s\n", prefix.c_str(), message.c_str());
}

Progress::Progress(std::string label, int64_t total, std::string unit)
    : label_(std::move(label)),
      unit_(std::move(unit)),
      total_(total),
      terminal_(isatty(STDERR_FILENO) == 1),
      begin_(std::chrono::steady_clock::now()),
      drawn_(begin_) {}

Progress::~Progress() { finish(); }

void Progress::update(int64_t done, const std::string& note) {
  done_ = done;
  note_ = note;
  const auto now = std::chrono::steady_clock::now();
  const std::chrono::duration<double> since = now - drawn_;
  if (since.count() < (terminal_ ? 0.1 : 10.0)) return;
  drawn_ = now;
  draw(false);
}

void Progress::finish() {
  if (finished_) return;
  finished_ = true;
  if (progress_line::level == LogLevel::quiet) return clear_progress_line();
  draw(true);
  if (terminal_) std::fputs("\n", stderr);
  progress_line::open = false;
}

void Progress::draw(bool last) {
  if (progress_line::level == LogLevel::quiet) return;
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begin_;
  const double rate = spent.count() > 0 ? static_cast<double>(done_ - start_) / spent.count() : 0;
  std::string line = label_ + " ";
  char text[96];
  if (total_ > 0) {
    const double share = std::clamp(static_cast<double>(done_) / static_cast<double>(total_), 0.0, 1.0);
    if (terminal_) {
      const int width = 24, full = static_cast<int>(share * width);
      line += "[" + std::string(full, '#') + std::string(width - full, '.') + "] ";
    }
    std::snprintf(text, sizeof text, "%3.0f%% %ld/%ld ", 100 * share, static_cast<long>(done_), static_cast<long>(total_));
  } else {
    std::snprintf(text, sizeof text, "%ld ", static_cast<long>(done_));
  }
  line += text;
  std::snprintf(text, sizeof text, rate < 10 ? "%.2f %s/s" : "%.0f %s/s", rate, unit_.c_str());
  line += text;
  if (last || total_ <= 0) {
    line += ", " + human_seconds(spent.count());
  } else if (rate > 0) {
    line += ", " + human_seconds(static_cast<double>(total_ - done_) / rate) + " left";
  }
  if (!note_.empty()) line += ", " + note_;
  if (terminal_) {
    std::fprintf(stderr, "\r\033[K%s", line.c_str());
    std::fflush(stderr);
    progress_line::open = true;
  } else {
    std::fprintf(stderr, "vlm: %s\n", line.c_str());
  }
}

}  // namespace vlm
