#include "vlm/train/process_group.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "vlm/core/error.h"
#include "vlm/core/log.h"
#include "vlm/train/nccl.h"

namespace vlm {

namespace process_group {

using Clock = std::chrono::steady_clock;
using StorePtr = c10::intrusive_ptr<c10d::Store>;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

std::vector<uint8_t> bytes(const std::string& text) { return {text.begin(), text.end()}; }
std::string text(const std::vector<uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }

/// A library's message without its stack.
std::string first_line(const std::string& message) { return message.substr(0, message.find('\n')); }

std::string host_name() {
  char name[256] = {};
  ::gethostname(name, sizeof name - 1);
  return name;
}

/// The address of this machine on the way to `host`: what other machines can reach it by.
std::string address_towards(const std::string& host, int64_t port) {
  addrinfo hints = {}, *found = nullptr;
  hints.ai_socktype = SOCK_DGRAM;
  if (::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0 || !found) {
    fail("the master address '", host, "' is not known on this machine; check MASTER_ADDR");
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> keep(found, &::freeaddrinfo);
  std::string out = "127.0.0.1";
  const int socket = ::socket(found->ai_family, SOCK_DGRAM, 0);
  sockaddr_storage own = {};
  socklen_t size = sizeof own;
  char name[NI_MAXHOST] = {};
  // Nothing is sent: connecting a datagram socket only asks the routing table.
  if (socket >= 0 && ::connect(socket, found->ai_addr, found->ai_addrlen) == 0 &&
      ::getsockname(socket, reinterpret_cast<sockaddr*>(&own), &size) == 0 &&
      ::getnameinfo(reinterpret_cast<sockaddr*>(&own), size, name, sizeof name, nullptr, 0, NI_NUMERICHOST) == 0) {
    out = name;
  }
  if (socket >= 0) ::close(socket);
  return out;
}

StorePtr open_store(const ProcessGroupOptions& options, bool listen) {
  c10d::TCPStoreOptions tcp;
  tcp.port = static_cast<uint16_t>(options.master_port);
  tcp.isServer = listen;
  tcp.waitWorkers = false;
  tcp.timeout = std::chrono::milliseconds(static_cast<int64_t>(1000 * options.connect_seconds));
  try {
    return c10::make_intrusive<c10d::PrefixStore>("vlm" + options.store_prefix, c10::make_intrusive<c10d::TCPStore>(options.master_addr, tcp));
  } catch (const std::exception& error) {
    if (listen) {
      fail("rank 0 cannot listen on port ", options.master_port, ": ", first_line(error.what()), "; choose another with MASTER_PORT");
    }
    fail("rank ", options.rank, " cannot reach rank 0 at ", options.master_addr, ":", options.master_port, ": ", first_line(error.what()));
  }
}

/// Beats for this rank, and notices when another one stops to. It has a connection of its own, so that nothing that the rest
/// waits for holds it up. A rank 0 that is stopped rather than dead keeps its connections open and answers nothing, so a second
/// thread, which never speaks to anybody, watches the first.
class Watch {
 public:
  Watch(const ProcessGroupOptions& options, StorePtr store) : options_(options), store_(std::move(store)) {
    const std::string who = concat("rank ", options_.rank, " (host ", host_name(), ", process ", ::getpid(), ")");
    store_->set(concat("who/", options_.rank), bytes(who));
    beat("0");
    reached_ = Clock::now();
    thread_ = std::thread([this] { run(); });
    guard_ = std::thread([this] { guard(); });
  }
  ~Watch() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    thread_.join();
    reached_ = Clock::now();
    try {
      beat("done");
      leave_together();
    } catch (const std::exception&) {
      // The store is gone, and with it everybody who would want to know.
    }
    {
      const std::lock_guard lock(mutex_);
      left_ = true;
    }
    wake_.notify_all();
    guard_.join();
  }

  /// Called when a call to other ranks has failed: who is missing, or "" if nobody is known to be.
  std::string whose_fault() {
    ask_.store(true);
    std::unique_lock lock(mutex_);
    wake_.notify_all();
    known_.wait_for(lock, std::chrono::seconds(8), [this] { return !lost_.empty(); });
    reported_ = true;
    return lost_;
  }

  void announce(const std::string& message) {
    const std::lock_guard lock(store_mutex_);
    store_->set("failed", bytes(concat("rank ", options_.rank, " failed: ", message)));
  }

 private:
  void beat(const std::string& value) {
    const std::lock_guard lock(store_mutex_);
    store_->set(concat("beat/", options_.rank), bytes(value));
  }

  /// The store lives in rank 0, which therefore leaves last.
  void leave_together() {
    if (options_.rank != 0 || options_.store_is_hosted) return;
    const auto begin = Clock::now();
    // A lost rank never comes, but the others are to read here who it was before they find rank 0 gone.
    const auto waits = [&] { return seconds_since(begin) < (lost_rank() ? 2 : 5); };
    for (int64_t r = 1; r < options_.world_size && waits(); ++r) {
      while (waits() && text(store_->get(concat("beat/", r))) != "done") {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
      }
    }
  }

  bool lost_rank() {
    const std::lock_guard lock(mutex_);
    return !lost_.empty();
  }

  void run() {
    std::vector<std::string> last(static_cast<size_t>(options_.world_size));
    std::vector<Clock::time_point> heard(static_cast<size_t>(options_.world_size), Clock::now());
    auto awake = Clock::now();
    for (int64_t count = 1;; ++count) {
      {
        std::unique_lock lock(mutex_);
        wake_.wait_for(lock, std::chrono::milliseconds(500), [this] { return stop_; });
        if (stop_) return;
      }
      // Who was stopped itself (Ctrl-Z) has not heard anybody for so long, and that is not their fault.
      if (seconds_since(awake) > 5) std::fill(heard.begin(), heard.end(), Clock::now());
      awake = Clock::now();
      try {
        beat(std::to_string(count));
        const std::lock_guard lock(store_mutex_);
        if (ask_) store_->set("trouble", bytes("1"));
        if (options_.rank == 0) {
          const bool trouble = store_->check({"trouble"});
          for (int64_t r = 1; r < options_.world_size; ++r) {
            const auto i = static_cast<size_t>(r);
            if (!store_->check({concat("beat/", r)})) continue;
            const std::string now = text(store_->get(concat("beat/", r)));
            if (now != last[i] || now == "done") heard[i] = Clock::now();
            last[i] = now;
            const double silence = seconds_since(heard[i]);
            if ((trouble && silence > 2) || silence > options_.silence_seconds) {
              store_->set("lost", bytes(text(store_->get(concat("who/", r))) + " has ended or cannot be reached"));
            }
          }
        }
        if (store_->check({"failed"})) {
          note(text(store_->get("failed")));
        } else if (store_->check({"lost"})) {
          note(text(store_->get("lost")));
        }
        reached_ = Clock::now();
      } catch (const std::exception&) {
        if (ask_ || seconds_since(reached_) > 5) note(concat("rank 0 at ", options_.master_addr, " has ended or cannot be reached"));
      }
    }
  }

  void guard() {
    auto awake = Clock::now(), found = Clock::time_point();
    // Who computes may still come to a call that fails and says so better.
    const double patience = std::clamp(options_.silence_seconds / 4, 2.0, 15.0);
    while (true) {
      {
        std::unique_lock lock(mutex_);
        wake_.wait_for(lock, std::chrono::milliseconds(500), [this] { return left_; });
        if (left_) return;
      }
      if (seconds_since(awake) > 5) reached_ = Clock::now();
      awake = Clock::now();
      if (seconds_since(reached_) > options_.silence_seconds) {
        note(concat("rank 0 at ", options_.master_addr, " has not answered for ", options_.silence_seconds, " s"));
      }
      const std::lock_guard lock(mutex_);
      if (lost_.empty()) continue;
      if (found == Clock::time_point()) found = Clock::now();
      if (seconds_since(found) > (reported_ ? 60 : patience)) {
        log_warning(lost_, "; rank ", options_.rank, " waits for it in vain and ends. Started again, the run goes on from its last checkpoint");
        std::_Exit(static_cast<int>(ExitCode::failed));
      }
    }
  }

  void note(const std::string& message) {
    const std::lock_guard lock(mutex_);
    if (lost_.empty()) lost_ = message;
    known_.notify_all();
  }

  ProcessGroupOptions options_;
  StorePtr store_;
  std::mutex mutex_, store_mutex_;
  std::condition_variable wake_, known_;
  std::atomic<bool> ask_{false};
  bool stop_ = false, left_ = false, reported_ = false;
  std::atomic<Clock::time_point> reached_;  ///< when the store has last answered
  std::string lost_;
  std::thread thread_, guard_;
};

class Group : public Communicator {
 public:
  explicit Group(const ProcessGroupOptions& options)
      : Communicator(options.rank, options.world_size), store_(open_store(options, options.rank == 0 && !options.store_is_hosted)),
        board_(open_store(options, false)), watch_(std::make_unique<Watch>(options, open_store(options, false))) {
    // The watch sees to it that nobody waits for the dead, so calls may take as long as the slowest rank needs.
    auto gloo = c10d::ProcessGroupGloo::Options::create(std::chrono::hours(24));
    const std::string own = address_towards(options.master_addr, options.master_port);
    const char* interface = std::getenv("GLOO_SOCKET_IFNAME");
    try {
      gloo->devices.push_back(interface && *interface ? c10d::ProcessGroupGloo::createDeviceForInterface(interface)
                                                      : c10d::ProcessGroupGloo::createDeviceForHostname(own));
      store_->setTimeout(std::chrono::milliseconds(static_cast<int64_t>(1000 * options.connect_seconds)));
      gloo_ = c10::make_intrusive<c10d::ProcessGroupGloo>(c10::make_intrusive<c10d::PrefixStore>("gloo", store_), static_cast<int>(rank()),
                                                           static_cast<int>(size()), gloo);
    } catch (const std::exception& error) {
      fail("rank ", rank(), " of ", size(), " could not join the others at ", options.master_addr, ":", options.master_port, ": ",
           first_line(error.what()));
    }
    if (options.device.is_cuda()) nccl_ = make_nccl_backend(c10::make_intrusive<c10d::PrefixStore>("nccl", store_), rank(), size(), options.device);
  }
  ~Group() override {
    nccl_.reset();
    gloo_.reset();
  }

  void all_reduce(Tensor& tensor, Reduction reduction) override {
    c10d::AllreduceOptions options;
    options.reduceOp = reduction == Reduction::sum ? c10d::ReduceOp::SUM : reduction == Reduction::max ? c10d::ReduceOp::MAX : c10d::ReduceOp::MIN;
    guarded([&] {
      std::vector<Tensor> tensors = {tensor};
      by(tensor).allreduce(tensors, options)->wait();
    });
  }
  std::function<void()> all_reduce_later(Tensor& tensor) override {
    return guarded([&]() -> std::function<void()> {
      std::vector<Tensor> tensors = {tensor};
      auto work = by(tensor).allreduce(tensors, {});
      return [this, work] { guarded([&] { work->wait(); }); };
    });
  }
  Tensor all_gather(const Tensor& tensor) override {
    return guarded([&] {
      std::vector<int64_t> shape = tensor.sizes().vec();
      if (shape.empty()) shape.push_back(1);
      std::vector<Tensor> inputs = {tensor.detach().reshape(shape).contiguous()};
      shape[0] *= size();
      Tensor all = at::empty(shape, tensor.options().requires_grad(false));
      std::vector<std::vector<Tensor>> outputs = {all.chunk(size(), 0)};
      if (inputs[0].numel() > 0) by(tensor).allgather(outputs, inputs)->wait();
      return all;
    });
  }
  void broadcast(Tensor& tensor, int64_t root) override {
    c10d::BroadcastOptions options;
    options.rootRank = root;
    guarded([&] {
      std::vector<Tensor> tensors = {tensor};
      by(tensor).broadcast(tensors, options)->wait();
    });
  }
  Tensor exchange(const Tensor& tensor, int64_t to, int64_t from) override {
    return guarded([&] {
      std::vector<Tensor> out = {tensor.detach().contiguous()}, in = {at::empty(tensor.sizes(), tensor.options().requires_grad(false))};
      c10d::Backend& backend = by(tensor);
      if (tensor.is_cuda()) {
        // NCCL would wait for the one before it begins the other.
        backend.startCoalescing();
        backend.recv(in, static_cast<int>(from), 0);
        backend.send(out, static_cast<int>(to), 0);
        backend.endCoalescing()->wait();
        return in[0];
      }
      const auto receiving = backend.recv(in, static_cast<int>(from), 0);
      const auto sending = backend.send(out, static_cast<int>(to), 0);
      sending->wait();
      receiving->wait();
      return in[0];
    });
  }
  void barrier() override {
    Tensor one = at::zeros({1});
    all_reduce(one, Reduction::sum);
  }
  void post(const std::string& key, const std::string& value) override {
    const std::lock_guard lock(board_mutex_);
    guarded([&] { board_->set("board/" + key, bytes(value)); });
  }
  bool wait_for(const std::string& key, double seconds) override {
    const auto begin = Clock::now();
    while (true) {
      {
        const std::lock_guard lock(board_mutex_);
        if (guarded([&] { return board_->check({"board/" + key}); })) return true;
      }
      if (seconds_since(begin) > seconds) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  }
  void announce_failure(const std::string& message) override {
    try {
      watch_->announce(message);
    } catch (const std::exception&) {
      // The others will notice anyway.
    }
  }

 private:
  c10d::Backend& by(const Tensor& tensor) { return tensor.is_cuda() ? *nccl_ : static_cast<c10d::Backend&>(*gloo_); }

  template <class Body>
  auto guarded(Body&& body) -> decltype(body()) {
    try {
      return body();
    } catch (const Error&) {
      throw;
    } catch (const std::exception& error) {
      const std::string fault = watch_->whose_fault();
      if (!fault.empty()) fail(fault, "; rank ", rank(), " ends, too. Started again, the run goes on from its last checkpoint");
      fail("rank ", rank(), " lost the connection to the others: ", first_line(error.what()));
    }
  }

  StorePtr store_, board_;
  std::mutex board_mutex_;
  std::unique_ptr<Watch> watch_;  ///< ends after the group, which may hang on to ranks that are gone
  c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo_;
  c10::intrusive_ptr<c10d::Backend> nccl_;  ///< for tensors on a GPU
};

}  // namespace process_group

std::unique_ptr<Communicator> make_process_group(const ProcessGroupOptions& options) {
  if (options.world_size <= 1) return make_single_communicator();
  return std::make_unique<process_group::Group>(options);
}

}  // namespace vlm
