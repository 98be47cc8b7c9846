#include "vlm/core/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"

namespace vlm {

namespace fs = std::filesystem;

namespace programs {

constexpr size_t most_messages = 1 << 14;

/// Killed unless it has been waited for.
struct Child {
  pid_t process = -1;
  Child() = default;
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (process <= 0) return;
    ::kill(process, SIGKILL);
    while (::waitpid(process, nullptr, 0) < 0 && errno == EINTR) {}
  }
  int wait() {
    int status = 0;
    pid_t ended = -1;
    while ((ended = ::waitpid(process, &status, 0)) < 0 && errno == EINTR) {}
    process = -1;
    if (ended < 0) fail("cannot learn how a program ended: ", ::strerror(errno));
    return status;
  }
};

struct SpawnSettings {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  SpawnSettings() {
    ::posix_spawn_file_actions_init(&files);
    ::posix_spawnattr_init(&attributes);
  }
  ~SpawnSettings() {
    ::posix_spawn_file_actions_destroy(&files);
    ::posix_spawnattr_destroy(&attributes);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;
};

void start(Child& child, const std::vector<std::string>& words, int output, int messages) {
  SpawnSettings settings;
  ::posix_spawn_file_actions_addopen(&settings.files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&settings.files, output, STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&settings.files, messages, STDERR_FILENO);
  // What this process does with signals is no business of the program's.
  sigset_t none, defaults;
  ::sigemptyset(&none);
  ::sigemptyset(&defaults);
  ::sigaddset(&defaults, SIGPIPE);
  ::posix_spawnattr_setsigmask(&settings.attributes, &none);
  ::posix_spawnattr_setsigdefault(&settings.attributes, &defaults);
  ::posix_spawnattr_setflags(&settings.attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  const auto pointers = word_pointers(words);
  const int error = ::posix_spawn(&child.process, pointers[0], &settings.files, &settings.attributes, pointers.data(), environ);
  if (error != 0) {
    child.process = -1;
    fail_usage("cannot run ", words[0], ": ", ::strerror(error));
  }
}

}  // namespace programs

Pipe::Pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) fail("cannot make a pipe: ", ::strerror(errno));
  read = ends[0];
  write = ends[1];
}

Pipe::~Pipe() {
  close_end(read);
  close_end(write);
}

void Pipe::close_end(int& end) {
  if (end >= 0) ::close(end);
  end = -1;
}

std::vector<char*> word_pointers(const std::vector<std::string>& words) {
  std::vector<char*> out;
  for (const std::string& word : words) out.push_back(const_cast<char*>(word.c_str()));
  out.push_back(nullptr);
  return out;
}

std::string describe_end(int status) {
  if (!WIFSIGNALED(status)) return concat("ended with code ", WEXITSTATUS(status));
  const char* name = ::sigabbrev_np(WTERMSIG(status));
  return concat("was killed by signal ", WTERMSIG(status), name ? concat(" (SIG", name, ")") : "");
}

fs::path find_program(const std::string& name) {
  const char* folders = std::getenv("PATH");
  for (const auto& folder : split(folders ? folders : "/usr/local/bin:/usr/bin:/bin", ":")) {
    if (!starts_with(folder, "/")) continue;
    const fs::path file = fs::path(folder) / name;
    std::error_code error;
    if (fs::is_regular_file(file, error) && ::access(file.c_str(), X_OK) == 0) return file;
  }
  return {};
}

ProgramEnd run_program(const std::vector<std::string>& words, const std::function<void(std::string_view)>& take) {
  Pipe output, messages;
  programs::Child child;
  programs::start(child, words, output.write, messages.write);
  Pipe::close_end(output.write);
  Pipe::close_end(messages.write);
  ProgramEnd end;
  std::array<char, 1 << 16> buffer;
  // Both are read as they come: a program that waits for a reader of one would never go on with the other.
  std::array<pollfd, 2> ends = {pollfd{output.read, POLLIN, 0}, pollfd{messages.read, POLLIN, 0}};
  while (ends[0].fd >= 0 || ends[1].fd >= 0) {
    if (::poll(ends.data(), ends.size(), -1) < 0) {
      if (errno == EINTR) continue;
      fail("cannot listen to ", words[0], ": ", ::strerror(errno));
    }
    for (pollfd& from : ends) {
      if (from.fd < 0 || from.revents == 0) continue;
      const ssize_t n = ::read(from.fd, buffer.data(), buffer.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) {
        from.fd = -1;
        continue;
      }
      const std::string_view piece(buffer.data(), static_cast<size_t>(n));
      if (&from == &ends[0]) {
        take(piece);
        continue;
      }
      end.messages += piece;
      if (end.messages.size() > programs::most_messages) end.messages.erase(0, end.messages.size() - programs::most_messages);
    }
  }
  end.status = child.wait();
  return end;
}

}  // namespace vlm
