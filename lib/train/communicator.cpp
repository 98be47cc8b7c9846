#include "vlm/train/communicator.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "vlm/core/error.h"

namespace vlm {

namespace communicator {

class Single : public Communicator {
 public:
  Single() : Communicator(0, 1) {}
  void all_reduce(Tensor&, Reduction) override {}
  std::function<void()> all_reduce_later(Tensor&) override {
    return [] {};
  }
  Tensor all_gather(const Tensor& tensor) override { return tensor.detach().clone(); }
  void broadcast(Tensor&, int64_t) override {}
  Tensor exchange(const Tensor& tensor, int64_t, int64_t) override { return tensor.detach().clone(); }
  void barrier() override {}
  void post(const std::string&, const std::string&) override {}
  bool wait_for(const std::string&, double) override { return true; }
  void announce_failure(const std::string&) override {}
};

}  // namespace communicator

std::unique_ptr<Communicator> make_single_communicator() { return std::make_unique<communicator::Single>(); }

std::vector<double> Communicator::all_gather_number(double value) {
  at::NoGradGuard no_grad;
  const Tensor all = all_gather(at::tensor({value}, at::kDouble));
  return {all.const_data_ptr<double>(), all.const_data_ptr<double>() + all.numel()};
}

Tensor Communicator::all_gather_rows(const Tensor& tensor, std::vector<int64_t>* counts) {
  at::NoGradGuard no_grad;
  std::vector<int64_t> rows;
  for (const double n : all_gather_number(static_cast<double>(tensor.size(0)))) rows.push_back(static_cast<int64_t>(n));
  const int64_t most = *std::max_element(rows.begin(), rows.end());
  const bool even = *std::min_element(rows.begin(), rows.end()) == most;
  if (counts) *counts = rows;
  if (even) return all_gather(tensor.contiguous());
  // Short ranks send rows of nothing, which are cut off again.
  std::vector<int64_t> padding = tensor.sizes().vec();
  padding[0] = most - tensor.size(0);
  const Tensor all = all_gather(at::cat({tensor, at::zeros(padding, tensor.options())}).contiguous());
  std::vector<Tensor> parts;
  for (size_t r = 0; r < rows.size(); ++r) parts.push_back(all.narrow(0, static_cast<int64_t>(r) * most, rows[r]));
  return at::cat(parts);
}

}  // namespace vlm
