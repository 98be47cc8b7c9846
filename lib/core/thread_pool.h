#pragma once
/// A fixed number of threads that work off a queue. Memory is bounded by whoever submits: see data/loader.h.

#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace vlm {

class ThreadPool {
 public:
  /// `threads` 0: run every task at once in the caller.
  explicit ThreadPool(int threads);
  /// Waits for the tasks that have begun; those still queued are dropped (their futures report a broken promise).
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  /// The task's result, or what it threw, comes out of the future.
  template <class Task>
  auto submit(Task task) -> std::future<std::invoke_result_t<Task>> {
    auto packaged = std::make_shared<std::packaged_task<std::invoke_result_t<Task>()>>(std::move(task));
    auto future = packaged->get_future();
    enqueue([packaged] { (*packaged)(); });
    return future;
  }
  int size() const { return static_cast<int>(threads_.size()); }

 private:
  void enqueue(std::function<void()> task);
  void work();

  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<std::function<void()>> queue_;
  std::vector<std::thread> threads_;
  bool stop_ = false;
};

}  // namespace vlm
