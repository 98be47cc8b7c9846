#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>

#include "command.h"
#include "rank_process.h"
#include "vlm/core/error.h"
#include "vlm/core/log.h"
#include "vlm/core/strings.h"

namespace vlm::apps {

namespace launch {

using Clock = std::chrono::steady_clock;

struct Options {
  int64_t processes = 1, nodes = 1, node_rank = -1, restarts = 0;
  double grace = 5;
  std::string master;
  bool exec = false;
  std::vector<std::string> words;
};

struct Address {
  std::string host = "127.0.0.1";
  int64_t port = 0;
};

Address parse_master(const std::string& text) {
  const size_t colon = text.rfind(':');
  const std::string digits = colon == std::string::npos ? "" : text.substr(colon + 1);
  const bool number = !digits.empty() && digits.size() <= 5 && digits.find_first_not_of("0123456789") == std::string::npos;
  if (colon == 0 || !number || std::stol(digits) < 1 || std::stol(digits) > 65535) {
    fail_usage("--master is '", text, "'; it takes HOST:PORT, the address of node 0 and a port that is free there");
  }
  Address out{text.substr(0, colon), std::stol(digits)};
  if (out.host.size() > 2 && out.host.front() == '[' && out.host.back() == ']') out.host = out.host.substr(1, out.host.size() - 2);
  return out;
}

/// A port that nobody listens at just now.
int64_t free_port() {
  const int probe = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  const bool found = probe >= 0 && ::bind(probe, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                     ::getsockname(probe, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  const int error = errno;
  if (probe >= 0) ::close(probe);
  if (!found) fail("found no free port on this machine: ", ::strerror(error));
  return ntohs(address.sin_port);
}

/// Cores that this process may use, which can be fewer than the machine has.
int64_t usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return ::sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : std::max<int64_t>(1, ::sysconf(_SC_NPROCESSORS_ONLN));
}

/// Ours, with torchrun's variables for this rank in the place of any that were there.
std::vector<std::string> environment_of(const Options& options, const Address& master, int64_t local_rank, int64_t restart) {
  std::vector<std::pair<std::string, std::string>> set = {
      {"RANK", std::to_string(std::max<int64_t>(options.node_rank, 0) * options.processes + local_rank)},
      {"WORLD_SIZE", std::to_string(options.nodes * options.processes)},
      {"LOCAL_RANK", std::to_string(local_rank)},
      {"LOCAL_WORLD_SIZE", std::to_string(options.processes)},
      {"GROUP_RANK", std::to_string(std::max<int64_t>(options.node_rank, 0))},
      {"MASTER_ADDR", master.host},
      {"MASTER_PORT", std::to_string(master.port)},
      {"TORCHELASTIC_RESTART_COUNT", std::to_string(restart)},
      {"TORCHELASTIC_MAX_RESTARTS", std::to_string(options.restarts)},
      {"TORCHELASTIC_USE_AGENT_STORE", "False"},
      {"VLM_LAUNCH", "1"}};
  if (!std::getenv("OMP_NUM_THREADS")) {
    set.emplace_back("OMP_NUM_THREADS", std::to_string(std::max<int64_t>(1, usable_cores() / options.processes)));
  }
  std::vector<std::string> out;
  for (char** variable = environ; *variable; ++variable) {
    const std::string_view text = *variable;
    const auto is_set = [&](const auto& entry) { return text.substr(0, text.find('=')) == entry.first; };
    if (std::none_of(set.begin(), set.end(), is_set)) out.emplace_back(text);
  }
  for (const auto& [name, value] : set) out.push_back(name + "=" + value);
  return out;
}

/// Signals come out of a descriptor while this lives, so that one poll() waits for them, for output and for ends.
class Signals {
 public:
  Signals() {
    sigset_t set;
    ::sigemptyset(&set);
    for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGTSTP, SIGCHLD}) ::sigaddset(&set, signal);
    ::sigprocmask(SIG_BLOCK, &set, &before_);
    descriptor_ = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (descriptor_ < 0) fail("cannot wait for signals: ", ::strerror(errno));
    ::signal(SIGPIPE, SIG_IGN);
  }
  ~Signals() {
    ::close(descriptor_);
    ::sigprocmask(SIG_SETMASK, &before_, nullptr);
  }
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  int descriptor() const { return descriptor_; }
  const sigset_t& before() const { return before_; }
  std::optional<int> next() const {
    signalfd_siginfo info;
    if (::read(descriptor_, &info, sizeof info) != sizeof info) return std::nullopt;
    return static_cast<int>(info.ssi_signo);
  }

 private:
  sigset_t before_;
  int descriptor_ = -1;
};

/// All local ranks, from their start until the last has ended.
class Group {
 public:
  Group(const Options& options, const Signals& signals, const Address& master, int64_t restart) : options_(options), signals_(signals) {
    for (int64_t i = 0; i < options.processes; ++i) {
      RankCommand command;
      command.rank = std::max<int64_t>(options.node_rank, 0) * options.processes + i;
      command.words = options.words;
      command.environment = environment_of(options, master, i, restart);
      command.own_terminal = command.rank == 0;
      ranks_.push_back(std::make_unique<RankProcess>(command, signals.before()));
    }
  }

  /// Waits until all have ended. What comes back is the end that ended the run, if it was a bad one.
  std::optional<RankEnd> wait() {
    while (std::any_of(ranks_.begin(), ranks_.end(), [](const auto& rank) { return rank->running(); })) {
      wait_for_news();
      for (const auto& rank : ranks_) rank->forward_output();
      while (const auto signal = signals_.next()) pass_on(*signal);
      reap();
      end_the_others();
    }
    for (const auto& rank : ranks_) rank->finish_output();
    return first_bad_ ? first_bad_ : interrupted_;
  }

  bool stop_was_asked() const { return stop_was_asked_; }

 private:
  void wait_for_news() {
    std::vector<pollfd> waiting = {{signals_.descriptor(), POLLIN, 0}};
    for (const auto& rank : ranks_) {
      for (const int descriptor : rank->descriptors()) waiting.push_back({descriptor, POLLIN, 0});
    }
    int milliseconds = -1;
    if (first_bad_ && !killed_) {
      const auto next = terminated_ ? kill_at_ : terminate_at_;
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(next - Clock::now()).count();
      milliseconds = static_cast<int>(std::max<int64_t>(0, left + 1));
    }
    ::poll(waiting.data(), waiting.size(), milliseconds);
  }

  void pass_on(int signal) {
    if (signal == SIGCHLD) return;
    if (signal == SIGTSTP) {
      // The ranks are in groups of their own: what stops and wakes us would not reach them.
      send(SIGSTOP);
      ::raise(SIGSTOP);
      send(SIGCONT);
      return;
    }
    stop_was_asked_ = true;
    // SIGUSR1 means something to the rank only: what it has started would die of it.
    for (const auto& rank : ranks_) rank->send(signal, signal != SIGUSR1);
  }

  void reap() {
    for (const auto& rank : ranks_) {
      RankEnd end;
      if (!rank->reap(end)) continue;
      rank->finish_output();
      if (end.code() == 0) continue;
      if (end.code() == static_cast<int>(ExitCode::interrupted)) {
        interrupted_ = end;
      } else if (!first_bad_) {
        first_bad_ = end;
        terminate_at_ = Clock::now() + std::chrono::milliseconds(300);
        kill_at_ = terminate_at_ + std::chrono::milliseconds(static_cast<int64_t>(options_.grace * 1000));
      } else if (!terminated_ && end.killed() && !first_bad_->killed()) {
        first_bad_ = end;  // whose peers fail because it has gone can be seen to end a moment before it
      }
    }
  }

  void end_the_others() {
    if (!first_bad_) return;
    if (!terminated_ && Clock::now() >= terminate_at_) {
      terminated_ = true;
      send(SIGTERM);
      send(SIGCONT);
    }
    if (terminated_ && !killed_ && Clock::now() >= kill_at_) {
      killed_ = true;
      send(SIGKILL);
    }
  }

  void send(int signal) const {
    for (const auto& rank : ranks_) rank->send(signal);
  }

  const Options& options_;
  const Signals& signals_;
  std::vector<std::unique_ptr<RankProcess>> ranks_;
  std::optional<RankEnd> first_bad_, interrupted_;
  bool terminated_ = false, killed_ = false, stop_was_asked_ = false;
  Clock::time_point terminate_at_, kill_at_;
};

void check(Options& options) {
  if (options.words.empty()) fail_usage("name the command to start behind --, as in: vlm launch -n 2 -- pretrain --config recipe.yaml");
  if (options.processes > 4096 || options.nodes > 65536) fail_usage("that many processes or nodes are more than a run can have");
  if (options.nodes > 1) {
    if (options.node_rank < 0) fail_usage("--node-rank is missing: with --nodes ", options.nodes, " every node says which one it is, from 0");
    if (options.master.empty()) fail_usage("--master is missing: with --nodes ", options.nodes, " every node needs node 0's HOST:PORT");
  }
  if (options.node_rank >= options.nodes) fail_usage("--node-rank is ", options.node_rank, ", but --nodes is ", options.nodes, ": it counts from 0");
  if (options.exec) return;
  if (options.words[0] == "launch") fail_usage("launch does not start itself; name the command that the ranks run");
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) fail("cannot find this program's own file: ", error.message());
  options.words.insert(options.words.begin(), self.string());
}

void run(Options options) {
  check(options);
  const Signals signals;
  for (int64_t restart = 0;; ++restart) {
    Address master;
    if (!options.master.empty()) {
      master = parse_master(options.master);
    } else {
      master.port = free_port();
    }
    Group group(options, signals, master, restart);
    const auto bad = group.wait();
    if (!bad) return;
    const int code = bad->code();
    if (code == static_cast<int>(ExitCode::interrupted)) throw Exit{code};
    const bool again = restart < options.restarts && code != static_cast<int>(ExitCode::usage) && !group.stop_was_asked();
    const std::string others = options.processes > 1 ? "; the other ranks of this node were ended" : "";
    write_log(LogLevel::quiet, again ? "warning: " : "error: ",
              bad->describe() + others + (again ? concat("; starting again (", restart + 1, " of ", options.restarts, ")") : ""));
    if (!again) throw Exit{code};
    // Other nodes notice the death a moment later; who comes back at once would meet what is left of the old run.
    if (options.nodes > 1) ::sleep(2);
  }
}

}  // namespace launch

void add_launch(CLI::App& app) {
  auto options = std::make_shared<launch::Options>();
  CLI::App* command = add_command(app, "launch", "Start a command as several processes that work as one run",
                                  "vlm launch -n 2 -- pretrain --config configs/tiny/clip_scenes.yaml", [options] { launch::run(*options); });
  command->add_option("-n,--processes", options->processes, "Processes on this node")->check(at_least_one)->capture_default_str();
  command->add_option("--nodes", options->nodes, "Nodes of the run, each of which runs this command")->check(at_least_one)->capture_default_str();
  command->add_option("--node-rank", options->node_rank, "Which node this is, from 0")->check(not_negative);
  command->add_option("--master", options->master, "HOST:PORT of node 0, where the processes meet (one node: a free port of its own)");
  command->add_option("--restarts", options->restarts, "How often all ranks are started again after one has died")->check(not_negative)->capture_default_str();
  command->add_option("--grace", options->grace, "Seconds that the others get to end after one has died")->check(not_negative)->capture_default_str();
  command->add_flag("--exec", options->exec, "What stands behind -- is any program, not a command of vlm");
  command->add_option("command", options->words, "Behind --: the command with its arguments");
}

}  // namespace vlm::apps
