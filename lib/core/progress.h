#pragma once
/// A progress bar with rate and time left when standard error is a terminal; a plain line now and then elsewhere.

#include <chrono>
#include <cstdint>
#include <string>

namespace vlm {

class Progress {
 public:
  /// `total` 0: unknown. `unit` is what is counted ("steps", "pictures").
  Progress(std::string label, int64_t total, std::string unit);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `done` of `total` are done; `note` stands at the end of the line ("loss 1.23"). Draws at most ten times a second
  /// on a terminal, every ten seconds elsewhere.
  void update(int64_t done, const std::string& note = "");
  /// Draws the last state and ends the line. Called by the destructor.
  void finish();
  /// Work done before this run began (a resumed run): not counted in the rate.
  void set_start(int64_t done) { start_ = done, done_ = done; }

 private:
  void draw(bool last);

  std::string label_, unit_, note_;
  int64_t total_, done_ = 0, start_ = 0;
  bool terminal_, finished_ = false;
  std::chrono::steady_clock::time_point begin_, drawn_;
};

/// Ends a bar that is being drawn, so that a message does not run into it; used by the log.
void clear_progress_line();

}  // namespace vlm
