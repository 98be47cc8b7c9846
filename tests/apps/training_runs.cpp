#include "training_runs.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/max.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "vlm/core/error.h"
#include "vlm/core/json.h"
#include "vlm/core/log.h"
#include "vlm/core/strings.h"
#include "vlm/data/scenes.h"
#include "vlm/io/atomic_file.h"
#include "vlm/io/safetensors.h"
#include "vlm/text/sentencepiece_trainer.h"

namespace vlm::training_runs {

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

bool wait_until(const std::function<bool()>& holds, double limit) {
  const auto begin = Clock::now();
  while (!holds()) {
    if (seconds_since(begin) > limit) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

Process::Process(const std::string& arguments, const fs::path& log, const std::string& before) : log_(log) {
  // One thread makes sums come out the same each time, and waiting passively saves the command from starting itself again.
  const std::string line = concat("exec >>", log.string(), " 2>&1; export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive; ", before,
                                  before.empty() ? "" : "; ", "exec ", VLM_BINARY, " ", arguments);
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ == 0) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() == parent) ::execl("/bin/bash", "bash", "-c", line.c_str(), nullptr);
    ::_exit(127);
  }
  ::setpgid(pid_, pid_);
}

Process::~Process() {
  if (running_) {
    ::kill(-pid_, SIGKILL);
    reap(true);
  }
}

void Process::reap(bool wait) {
  int status = 0;
  if (!running_ || ::waitpid(pid_, &status, wait ? 0 : WNOHANG) != pid_) return;
  running_ = false;
  code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool Process::running() {
  reap(false);
  return running_;
}

void Process::send(int signal) const {
  if (running_) ::kill(pid_, signal);
}

int Process::wait(double limit) {
  if (wait_until([this] { return !running(); }, limit)) return code_;
  ::kill(-pid_, SIGKILL);
  reap(true);
  return -1;
}

std::string Process::output() const { return read_file(log_); }

int64_t free_port() {
  const int probe = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ::bind(probe, reinterpret_cast<sockaddr*>(&address), size);
  ::getsockname(probe, reinterpret_cast<sockaddr*>(&address), &size);
  ::close(probe);
  return ntohs(address.sin_port);
}

std::vector<std::unique_ptr<Process>> start_ranks(int64_t ranks, const std::string& arguments, const fs::path& logs,
                                                  const std::function<std::string(int64_t rank)>& before) {
  const int64_t port = free_port();
  std::vector<std::unique_ptr<Process>> out;
  for (int64_t rank = 0; rank < ranks; ++rank) {
    const std::string own = before ? before(rank) : "";
    out.push_back(std::make_unique<Process>(arguments, fs::path(concat(logs.string(), ".", rank)),
                                            concat("export RANK=", rank, " WORLD_SIZE=", ranks, " MASTER_ADDR=127.0.0.1 MASTER_PORT=", port,
                                                   own.empty() ? "" : "; ", own)));
  }
  return out;
}

pid_t process_of_rank(pid_t launcher, int64_t rank) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/proc", error)) {
    const auto pid = static_cast<pid_t>(std::atol(entry.path().filename().c_str()));
    if (pid <= 0) continue;
    // "pid (name) state parent …", where the name may hold anything.
    std::string stat;
    std::getline(std::ifstream(entry.path() / "stat"), stat);
    const size_t close = stat.rfind(") ");
    if (close == std::string::npos || std::atol(stat.c_str() + close + 4) != launcher) continue;
    std::ifstream in(entry.path() / "environ");
    for (std::string variable; std::getline(in, variable, '\0');) {
      if (variable == concat("RANK=", rank)) return pid;
    }
  }
  return -1;
}

bool has_ended(pid_t process) {
  std::string stat;
  return !std::getline(std::ifstream(concat("/proc/", process, "/stat")), stat) || holds(stat, ") Z ");
}

std::vector<nlohmann::ordered_json> entries_of(const fs::path& run) {
  std::vector<nlohmann::ordered_json> out;
  std::ifstream in(run / "metrics.jsonl");
  for (std::string line; std::getline(in, line);) {
    auto entry = parse_json<nlohmann::ordered_json>(line);
    if (!entry.is_object()) ADD_FAILURE() << "no line of a log: " << line;
    if (!entry.is_object() || entry.contains("eval")) continue;
    out.push_back(std::move(entry));
  }
  return out;
}

std::vector<std::string> log_of(const fs::path& run) {
  std::vector<std::string> out;
  for (auto& entry : entries_of(run)) {
    EXPECT_EQ(entry.at("step"), static_cast<int64_t>(out.size()) + 1) << run;
    for (const char* clock : {"samples_per_second", "data_wait", "memory_mb", "time"}) entry.erase(clock);
    out.push_back(entry.dump());
  }
  return out;
}

std::vector<double> losses_of(const fs::path& run) {
  std::vector<double> out;
  for (const auto& entry : entries_of(run)) out.push_back(entry.value("loss", std::numeric_limits<double>::quiet_NaN()));
  return out;
}

int64_t step_of(const fs::path& run) {
  std::ifstream in(run / "metrics.jsonl");
  std::string last;
  for (std::string line; std::getline(in, line);) {
    if (!in.eof()) last = line;  // the last line may still be on its way
  }
  const size_t at = last.find("\"step\":");
  return at == std::string::npos ? 0 : std::atol(last.c_str() + at + 7);
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a[i] - b[i]));
  return most;
}

double largest_weight_difference(const fs::path& run_a, const fs::path& run_b) {
  const char* file = "model/open_clip_model.safetensors";
  const auto a = read_safetensors(run_a / file), b = read_safetensors(run_b / file);
  double most = 0;
  for (const auto& [name, tensor] : a) most = std::max(most, at::max(at::abs(tensor - b.at(name))).item<double>());
  return most;
}

std::string weights_of(const fs::path& run) { return read_file(run / "model/open_clip_model.safetensors"); }

const testing::TemporaryFolder& folder() {
  static const testing::TemporaryFolder made;
  return made;
}

void TrainingRuns::SetUpTestSuite() {
  static bool done = false;
  if (std::exchange(done, true)) return;
  make_scenes(SceneSetOptions{.out = scenes(), .count = 300, .seed = 3});
  std::vector<std::string> captions;
  for (const auto& row : nlohmann::json::parse(read_file(scenes() / "captions_train.json"))) {
    const auto& caption = row.at("caption");
    if (caption.is_string()) captions.push_back(caption);
    if (caption.is_array()) captions.insert(captions.end(), caption.begin(), caption.end());
  }
  write_file_atomically(folder() / "tokenizer.model", train_sentencepiece(captions, SentencePieceTrainerOptions{.vocab_size = 80}));
  write_file_atomically(folder() / "recipe.yaml", concat(R"(
model:
  tokenizer: )", (folder() / "tokenizer.model").string(), R"(
  config:
    embed_dim: 16
    vision_cfg: {image_size: 32, patch_size: 16, width: 32, layers: 1, head_width: 16}
    text_cfg: {context_length: 16, vocab_size: 200, width: 32, heads: 2, layers: 1, pool_type: eos, eos_id: 2}
data:
  train: {path: )", (scenes() / "train-000000.tar").string(), R"(}
  global_batch_size: 24
  shuffle_by: sample
  threads: 1
  preprocess: {resize_mode: longest, fill_color: 255}
  augment: {pad_square: true, shift: 4}
train: {steps: 20, lr: 5.0e-4, schedule: {warmup_steps: 3}, eval_every_epochs: 0, save_every_epochs: 0, tensorboard: false}
)"));
}

std::string TrainingRuns::pretrain(const std::string& name, const std::string& overrides) {
  return concat("pretrain --config ", (folder() / "recipe.yaml").string(), " out=", run(name).string(), " ", overrides);
}

std::string TrainingRuns::launch(int64_t ranks, const std::string& name, const std::string& overrides, const std::string& options) {
  return concat("launch -n ", ranks, " ", options, " -- ", pretrain(name, overrides));
}

fs::path TrainingRuns::run(const std::string& name) { return folder() / name; }
fs::path TrainingRuns::log(const std::string& name) { return folder() / (name + ".log"); }
fs::path TrainingRuns::scenes() { return folder() / "scenes"; }

void TrainingRuns::train(const std::string& command, const std::string& name) {
  Process process(command, log(name));
  EXPECT_EQ(process.wait(), 0) << process.output();
}

}  // namespace vlm::training_runs
