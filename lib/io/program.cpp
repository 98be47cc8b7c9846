#include "vlm/io/program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "vlm/core/error.h"

extern char** environ;

namespace vlm {

namespace program {

constexpr size_t longest_complaint = 1 << 14;

/// Both ends close with it, and neither is inherited.
struct Pipe {
  int ends[2] = {-1, -1};
  Pipe() {
    if (::pipe2(ends, O_CLOEXEC) != 0) fail("cannot make a pipe: ", ::strerror(errno));
  }
  ~Pipe() {
    close_end(0);
    close_end(1);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void close_end(int end) {
    if (ends[end] >= 0) ::close(ends[end]);
    ends[end] = -1;
  }
};

/// Killed and waited for unless that was done.
struct Child {
  pid_t id = -1;
  ~Child() {
    if (id < 0) return;
    ::kill(id, SIGKILL);
    ::waitpid(id, nullptr, 0);
  }
  int wait() {
    int status = 0;
    while (::waitpid(id, &status, 0) < 0 && errno == EINTR) {}
    id = -1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }
};

/// False at the end of the stream.
bool take(int from, std::string& into) {
  std::array<char, 1 << 16> buffer;
  const ssize_t n = ::read(from, buffer.data(), buffer.size());
  if (n < 0) return errno == EINTR || errno == EAGAIN;
  into.append(buffer.data(), static_cast<size_t>(n));
  return n > 0;
}

}  // namespace program

std::string ProgramOutput::complaint() const {
  const size_t end = err.find_last_not_of(" \n\r\t");
  if (end == std::string::npos) return "";
  const size_t line = err.find_last_of("\n\r", end);
  const size_t begin = line == std::string::npos ? 0 : line + 1;
  return err.substr(begin, end + 1 - begin);
}

std::optional<ProgramOutput> run_program(const std::vector<std::string>& words, size_t limit) {
  using namespace program;
  Pipe out, err;
  std::vector<char*> arguments;
  for (const auto& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, out.ends[1], STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, err.ends[1], STDERR_FILENO);
  Child child;
  const int error = ::posix_spawnp(&child.id, arguments[0], &actions, nullptr, arguments.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    child.id = -1;
    if (error == ENOENT) return std::nullopt;
    fail("cannot start ", words[0], ": ", ::strerror(error));
  }
  out.close_end(1);
  err.close_end(1);

  ProgramOutput result;
  std::array<pollfd, 2> streams = {pollfd{out.ends[0], POLLIN, 0}, pollfd{err.ends[0], POLLIN, 0}};
  while (streams[0].fd >= 0 || streams[1].fd >= 0) {
    if (::poll(streams.data(), streams.size(), -1) < 0) {
      if (errno == EINTR) continue;
      fail("cannot read what ", words[0], " prints: ", ::strerror(errno));
    }
    if (streams[0].revents != 0 && !take(streams[0].fd, result.out)) streams[0].fd = -1;
    if (streams[1].revents != 0 && !take(streams[1].fd, result.err)) streams[1].fd = -1;
    if (result.out.size() > limit) fail(words[0], " prints more than ", limit, " bytes");
    if (result.err.size() > 2 * longest_complaint) result.err.erase(0, result.err.size() - longest_complaint);
  }
  result.code = child.wait();
  return result;
}

}  // namespace vlm
