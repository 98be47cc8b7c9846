#pragma once
/// Training runs as real processes, for tests that stop, kill and damage them: started with or without `vlm launch`, waited for
/// with a limit, compared by what they leave behind.

#include <gtest/gtest.h>
#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "temporary_folder.h"

namespace vlm::training_runs {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin);

/// A command of vlm in a process group of its own; its output goes to a file. Whatever is left of it ends with this object.
class Process {
 public:
  /// `before`: shell commands that come first (limits, variables).
  Process(const std::string& arguments, const fs::path& log, const std::string& before = "");
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  bool running();
  void send(int signal) const;
  /// The exit code (128 + signal if it was killed); -1 if it had to be killed after `limit` seconds.
  int wait(double limit = 120);
  std::string output() const;

 private:
  void reap(bool wait);
  pid_t pid_ = -1;
  int code_ = -1;
  bool running_ = true;
  fs::path log_;
};

/// `ranks` processes of one run without a launcher; `before(rank)` are shell commands for one of them.
std::vector<std::unique_ptr<Process>> start_ranks(int64_t ranks, const std::string& arguments, const fs::path& logs,
                                                  const std::function<std::string(int64_t rank)>& before = {});

/// The process of a launcher's rank; -1 if there is none.
pid_t process_of_rank(pid_t launcher, int64_t rank);

/// Whether a process has ended; who adopts it may be slow to take note.
bool has_ended(pid_t process);

/// Waits until it holds; false after `limit` seconds.
bool wait_until(const std::function<bool()>& holds, double limit = 120);

bool holds(const std::string& text, const std::string& part);

/// The lines of metrics.jsonl that stand for steps, without what depends on the clock. Every step is there once and in order.
std::vector<std::string> log_of(const fs::path& run);
std::vector<double> losses_of(const fs::path& run);
/// The last step in the log; 0 if there is none yet.
int64_t step_of(const fs::path& run);
/// The largest difference between two curves; infinite if they differ in length.
double largest_difference(const std::vector<double>& a, const std::vector<double>& b);
/// The largest difference between the weights of two models.
double largest_weight_difference(const fs::path& run_a, const fs::path& run_b);
/// The bytes of the finished model's weights.
std::string weights_of(const fs::path& run);

/// Drawn scenes, a vocabulary and a recipe with a tiny CLIP, made once for all tests of the program.
class TrainingRuns : public ::testing::Test {
 protected:
  static void SetUpTestSuite();
  /// "pretrain --config … out=NAME OVERRIDES"
  static std::string pretrain(const std::string& name, const std::string& overrides = "");
  static std::string launch(int64_t ranks, const std::string& name, const std::string& overrides = "", const std::string& options = "");
  /// A folder of its own for a run, beside which its log lies.
  static fs::path run(const std::string& name);
  static fs::path log(const std::string& name);
  static fs::path scenes();
  /// Runs to the end, which is expected to be a good one.
  static void train(const std::string& command, const std::string& name);
};

}  // namespace vlm::training_runs
