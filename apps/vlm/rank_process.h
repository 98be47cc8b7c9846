#pragma once
/// One process of a run: started, listened to, ended.

#include <signal.h>
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vlm::apps {

/// Hands on what a process writes, with a prefix before each of its lines.
class PrefixedLines {
 public:
  PrefixedLines(std::string prefix, int to) : prefix_(std::move(prefix)), to_(to) {}
  void take(std::string_view bytes);
  /// What is left without an end of line gets one.
  void finish();

 private:
  std::string prefix_, line_;
  int to_;  ///< file descriptor
};

struct RankCommand {
  int64_t rank = 0;
  std::vector<std::string> words;        ///< program and arguments
  std::vector<std::string> environment;  ///< "NAME=VALUE", all of it
  bool own_terminal = false;             ///< output goes where ours goes, and not through "[rank 3] " lines
};

/// How a process ended.
struct RankEnd {
  int64_t rank = 0;
  pid_t process = 0;
  int status = 0;     ///< as of waitpid()
  int code() const;   ///< its exit code; 128 + signal if it was killed
  bool killed() const;
  /// "rank 2 (process 4711) was killed by signal 9 (SIGKILL)", "rank 0 (process 4710) ended with code 1"
  std::string describe() const;
};

/// Starts the process at once, in a process group of its own (its children end with it), without standard input, and so that
/// the system kills it when this program dies. It gets `signal_mask`. Throws if the program cannot be run.
class RankProcess {
 public:
  RankProcess(const RankCommand& command, const sigset_t& signal_mask);
  ~RankProcess();
  RankProcess(const RankProcess&) = delete;
  RankProcess& operator=(const RankProcess&) = delete;

  /// To the process and all that it has started, or to it alone.
  void send(int signal, bool to_children = true) const;
  bool running() const { return running_; }
  /// Takes note of an end, if there is one; true once, when it has just ended.
  bool reap(RankEnd& end);

  /// Descriptors to wait for; empty once both streams are closed.
  std::vector<int> descriptors() const;
  /// Hands on what can be read without waiting.
  void forward_output();
  /// Hands on the rest; a grandchild that keeps the pipe open is not waited for.
  void finish_output();

 private:
  struct Stream {
    int from;
    PrefixedLines lines;
  };
  int64_t rank_;
  pid_t process_ = -1;
  bool running_ = false;
  std::vector<Stream> streams_;
};

}  // namespace vlm::apps
