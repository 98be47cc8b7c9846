#pragma once
/// Ranks as threads of one process: what many processes would say to each other, without processes.

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/minimum.h>
#include <c10/core/GradMode.h>

#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "vlm/core/error.h"
#include "vlm/train/communicator.h"

namespace vlm::testing {

/// Where the threads of a group meet, and the tensors that they show each other.
struct Meeting {
  explicit Meeting(int64_t size) : size(size), shown(static_cast<size_t>(size)) {}

  /// Returns when all have come; throws where a rank has ended before.
  void wait() {
    std::unique_lock<std::mutex> lock(mutex);
    const int64_t round = rounds;
    if (++here == size) {
      here = 0;
      ++rounds;
      all_here.notify_all();
      return;
    }
    all_here.wait(lock, [&] { return rounds != round || left; });
    if (rounds == round) fail("another rank has ended");
  }
  void leave() {
    const std::lock_guard<std::mutex> lock(mutex);
    left = true;
    all_here.notify_all();
  }

  const int64_t size;
  std::vector<Tensor> shown;
  std::mutex mutex;
  std::condition_variable all_here;
  int64_t here = 0, rounds = 0;
  bool left = false;
};

class ThreadCommunicator : public Communicator {
 public:
  ThreadCommunicator(std::shared_ptr<Meeting> meeting, int64_t rank) : Communicator(rank, meeting->size), meeting_(std::move(meeting)) {}

  void all_reduce(Tensor& tensor, Reduction reduction) override {
    at::NoGradGuard no_grad;
    Tensor result;
    for (const auto& part : show(tensor)) {
      if (!result.defined()) {
        result = part;
      } else {
        result = reduction == Reduction::sum ? result + part : reduction == Reduction::max ? at::maximum(result, part) : at::minimum(result, part);
      }
    }
    tensor.copy_(result);
  }
  std::function<void()> all_reduce_later(Tensor& tensor) override {
    all_reduce(tensor, Reduction::sum);
    return [] {};
  }
  Tensor all_gather(const Tensor& tensor) override {
    at::NoGradGuard no_grad;
    return at::cat(show(tensor));
  }
  void broadcast(Tensor& tensor, int64_t root) override {
    at::NoGradGuard no_grad;
    tensor.copy_(show(tensor).at(static_cast<size_t>(root)));
  }
  Tensor exchange(const Tensor& tensor, int64_t to, int64_t from) override {
    at::NoGradGuard no_grad;
    if (to < 0 || to >= size()) fail("there is no rank ", to);
    return show(tensor).at(static_cast<size_t>(from));
  }
  void barrier() override { meeting_->wait(); }

  void post(const std::string&, const std::string&) override {}
  bool wait_for(const std::string&, double) override { return true; }
  void announce_failure(const std::string&) override {}

 private:
  /// The tensors of all ranks in this call, in rank order.
  std::vector<Tensor> show(const Tensor& tensor) {
    meeting_->shown[static_cast<size_t>(rank())] = tensor.detach().clone();
    meeting_->wait();
    const std::vector<Tensor> all = meeting_->shown;
    meeting_->wait();
    return all;
  }

  std::shared_ptr<Meeting> meeting_;
};

/// Runs `body` once a rank, at the same time; throws what the first rank that failed threw.
inline void run_ranks(int64_t ranks, const std::function<void(Communicator&)>& body) {
  const auto meeting = std::make_shared<Meeting>(ranks);
  std::vector<std::exception_ptr> failures;
  std::mutex mutex;
  std::vector<std::thread> threads;
  for (int64_t rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      ThreadCommunicator communicator(meeting, rank);
      try {
        body(communicator);
      } catch (...) {
        {
          const std::lock_guard<std::mutex> lock(mutex);
          failures.push_back(std::current_exception());
        }
        meeting->leave();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  if (!failures.empty()) std::rethrow_exception(failures.front());
}

}  // namespace vlm::testing
