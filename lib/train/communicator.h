#pragma once
/// What the processes of a run say to each other. One process is a group of one, for which every call is a copy.
///
/// Ranks call the same functions in the same order. A rank that ends or cannot be reached makes the others' calls throw an
/// Error that names it, where the transport knows.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace vlm {

using at::Tensor;

enum class Reduction { sum, max, min };

class Communicator {
 public:
  virtual ~Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  int64_t rank() const { return rank_; }
  int64_t size() const { return size_; }
  bool is_first() const { return rank_ == 0; }

  /// In place, over all ranks. `tensor` is contiguous and of the same shape and type everywhere.
  virtual void all_reduce(Tensor& tensor, Reduction reduction = Reduction::sum) = 0;
  /// The same in the background (sum); what comes back waits for it, and must be called.
  virtual std::function<void()> all_reduce_later(Tensor& tensor) = 0;
  /// tensor: [n, …], the same shape on every rank. Returns [R n, …] in rank order.
  virtual Tensor all_gather(const Tensor& tensor) = 0;
  /// In place, from one rank to all.
  virtual void broadcast(Tensor& tensor, int64_t root = 0) = 0;
  /// Sends `tensor` to rank `to` and returns what rank `from` sent here, of the same shape and type.
  virtual Tensor exchange(const Tensor& tensor, int64_t to, int64_t from) = 0;
  /// Returns when every rank has come here.
  virtual void barrier() = 0;

  /// A board that all ranks read, for what is not tensors; any thread may use it.
  virtual void post(const std::string& key, const std::string& text) = 0;
  /// Waits until somebody has posted the key; false after `seconds`.
  virtual bool wait_for(const std::string& key, double seconds) = 0;
  /// Tells the others why this rank is about to end, so that they can name it.
  virtual void announce_failure(const std::string& message) = 0;

  /// Rows of all ranks in rank order, however many each has. tensor: [n_r, …]; the other dimensions are equal everywhere.
  /// `counts`, if given, becomes the number of rows of each rank.
  Tensor all_gather_rows(const Tensor& tensor, std::vector<int64_t>* counts = nullptr);
  /// One number of each rank, in rank order.
  std::vector<double> all_gather_number(double value);

 protected:
  Communicator(int64_t rank, int64_t size) : rank_(rank), size_(size) {}

 private:
  int64_t rank_, size_;
};

/// A group of one.
std::unique_ptr<Communicator> make_single_communicator();

/// all_gather_rows() with gradients: what comes back from a row to its rank is the sum over all ranks (arXiv 2103.00020 as
/// open_clip's gather_with_grad; specs: clip, 12.1).
Tensor gather_rows_with_grad(Communicator& communicator, const Tensor& tensor, std::vector<int64_t>* counts = nullptr);
/// exchange() with gradients: they take the way back.
Tensor exchange_with_grad(Communicator& communicator, const Tensor& tensor, int64_t to, int64_t from);

}  // namespace vlm
