#include "rank_process.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <utility>

#include "vlm/core/error.h"
#include "vlm/core/program.h"

namespace vlm::apps {

namespace rank_process {

/// Writes all of it; a reader that has gone away is no reason to end a training run.
void write_all(int to, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(to, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
}

}  // namespace rank_process

void PrefixedLines::take(std::string_view bytes) {
  // A process that never ends its lines must not fill our memory.
  constexpr size_t longest = 1 << 16;
  std::string out;
  while (!bytes.empty()) {
    const size_t end = bytes.find('\n');
    line_ += bytes.substr(0, end);
    bytes.remove_prefix(end == std::string_view::npos ? bytes.size() : end + 1);
    if (end == std::string_view::npos && line_.size() < longest) break;
    out += prefix_ + line_ + "\n";
    line_.clear();
  }
  rank_process::write_all(to_, out);
}

void PrefixedLines::finish() {
  if (!line_.empty()) take("\n");
}

bool RankEnd::killed() const { return WIFSIGNALED(status); }

int RankEnd::code() const { return killed() ? 128 + WTERMSIG(status) : WEXITSTATUS(status); }

std::string RankEnd::describe() const {
  return concat("rank ", rank, " (process ", process, ") ", describe_end(status));
}

RankProcess::RankProcess(const RankCommand& command, const sigset_t& signal_mask) : rank_(command.rank) {
  Pipe out, err, trouble;
  // All memory is taken before fork(): behind it only calls are safe that take none.
  const auto words = word_pointers(command.words), environment = word_pointers(command.environment);
  const pid_t parent = ::getpid();
  process_ = ::fork();
  if (process_ < 0) fail("cannot start a process: ", ::strerror(errno));
  if (process_ == 0) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);  // the launcher died before that took hold
    ::signal(SIGPIPE, SIG_DFL);
    ::sigprocmask(SIG_SETMASK, &signal_mask, nullptr);
    const int nothing = ::open("/dev/null", O_RDONLY);
    if (nothing >= 0) ::dup2(nothing, STDIN_FILENO);
    if (nothing > STDERR_FILENO) ::close(nothing);
    if (!command.own_terminal) {
      ::dup2(out.write, STDOUT_FILENO);
      ::dup2(err.write, STDERR_FILENO);
    }
    ::execvpe(words[0], words.data(), environment.data());
    const int error = errno;
    [[maybe_unused]] const ssize_t written = ::write(trouble.write, &error, sizeof error);
    ::_exit(127);
  }
  ::setpgid(process_, process_);  // whoever comes first: a signal must reach the group from now on
  running_ = true;
  Pipe::close_end(trouble.write);
  // The other end closes when the program has been loaded, or tells why it could not be.
  int error = 0;
  ssize_t n = 0;
  while ((n = ::read(trouble.read, &error, sizeof error)) < 0 && errno == EINTR) {}
  if (n == sizeof error) {
    ::waitpid(process_, nullptr, 0);
    fail_usage("cannot run ", command.words[0], ": ", ::strerror(error));
  }
  if (command.own_terminal) return;
  const std::string prefix = concat("[rank ", rank_, "] ");
  streams_.push_back({out.take_read(), PrefixedLines(prefix, STDOUT_FILENO)});
  streams_.push_back({err.take_read(), PrefixedLines(prefix, STDERR_FILENO)});
  for (const Stream& stream : streams_) ::fcntl(stream.from, F_SETFL, O_NONBLOCK);
}

RankProcess::~RankProcess() {
  if (running_) {
    send(SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }
  finish_output();
}

void RankProcess::send(int signal, bool to_children) const {
  if (running_) ::kill(to_children ? -process_ : process_, signal);
}

bool RankProcess::reap(RankEnd& end) {
  int status = 0;
  if (!running_ || ::waitpid(process_, &status, WNOHANG) != process_) return false;
  // What it has started itself and left behind would hold on to ports and memory.
  ::kill(-process_, SIGKILL);
  running_ = false;
  end = {rank_, process_, status};
  return true;
}

std::vector<int> RankProcess::descriptors() const {
  std::vector<int> out;
  for (const Stream& stream : streams_) {
    if (stream.from >= 0) out.push_back(stream.from);
  }
  return out;
}

void RankProcess::forward_output() {
  std::array<char, 1 << 16> buffer;
  for (Stream& stream : streams_) {
    while (stream.from >= 0) {
      const ssize_t n = ::read(stream.from, buffer.data(), buffer.size());
      if (n > 0) {
        stream.lines.take({buffer.data(), static_cast<size_t>(n)});
        if (n < static_cast<ssize_t>(buffer.size())) break;
        continue;
      }
      if (n < 0 && (errno == EAGAIN || errno == EINTR)) break;
      ::close(stream.from);
      stream.from = -1;
      stream.lines.finish();
    }
  }
}

void RankProcess::finish_output() {
  forward_output();
  for (Stream& stream : streams_) {
    if (stream.from >= 0) ::close(std::exchange(stream.from, -1));
    stream.lines.finish();
  }
}

}  // namespace vlm::apps
