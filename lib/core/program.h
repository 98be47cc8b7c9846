#pragma once
/// Other programs: found, run and listened to, never through a shell.

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vlm {

/// Both ends of a pipe, closed in programs that are started and at the end.
struct Pipe {
  int read = -1, write = -1;
  /// Throws if the system has no more of them.
  Pipe();
  ~Pipe();
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  static void close_end(int& end);
  int take_read() { return std::exchange(read, -1); }
};

/// As the exec functions take them: a null pointer ends them. Valid as long as `words` is left alone.
std::vector<char*> word_pointers(const std::vector<std::string>& words);

/// "ended with code 1", "was killed by signal 9 (SIGKILL)". status: as of waitpid().
std::string describe_end(int status);

/// The program of that name in one of the folders of PATH; empty if there is none. Relative folders are passed over: what lies where
/// the user happens to stand was not installed.
std::filesystem::path find_program(const std::string& name);

struct ProgramEnd {
  int status = 0;        ///< as of waitpid(): 0 if all went well
  std::string messages;  ///< what it wrote to standard error, the last 16 kB
};

/// Runs a program to its end, without standard input; what it writes goes to `take` piece by piece. words: its file and its arguments. If
/// `take` throws, the program is killed. Throws a usage error if it cannot be started.
ProgramEnd run_program(const std::vector<std::string>& words, const std::function<void(std::string_view)>& take);

}  // namespace vlm
