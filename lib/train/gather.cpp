#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>

#include <numeric>

#include "vlm/train/communicator.h"

namespace vlm {

namespace gather {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

Communicator& communicator_of(AutogradContext* context) {
  return *reinterpret_cast<Communicator*>(context->saved_data["communicator"].toInt());
}

struct GatherRows : torch::autograd::Function<GatherRows> {
  static Variable forward(AutogradContext* context, const Variable& tensor, int64_t communicator, const c10::List<int64_t>& counts) {
    context->saved_data["communicator"] = communicator;
    context->saved_data["counts"] = counts;
    std::vector<int64_t> rows;
    const Tensor all = reinterpret_cast<Communicator*>(communicator)->all_gather_rows(tensor, &rows);
    auto filled = counts;
    for (const int64_t n : rows) filled.push_back(n);
    return all;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    Communicator& communicator = communicator_of(context);
    const auto counts = context->saved_data["counts"].toIntVector();
    Tensor sum = gradients.at(0).contiguous().clone();
    communicator.all_reduce(sum);
    const auto rank = static_cast<size_t>(communicator.rank());
    const int64_t begin = std::accumulate(counts.begin(), counts.begin() + static_cast<int64_t>(rank), int64_t(0));
    return {sum.narrow(0, begin, counts[rank]), Variable(), Variable()};
  }
};

struct Exchange : torch::autograd::Function<Exchange> {
  static Variable forward(AutogradContext* context, const Variable& tensor, int64_t communicator, int64_t to, int64_t from) {
    context->saved_data["communicator"] = communicator;
    context->saved_data["to"] = to;
    context->saved_data["from"] = from;
    return reinterpret_cast<Communicator*>(communicator)->exchange(tensor.contiguous(), to, from);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const int64_t to = context->saved_data["to"].toInt(), from = context->saved_data["from"].toInt();
    return {communicator_of(context).exchange(gradients.at(0).contiguous(), from, to), Variable(), Variable(), Variable()};
  }
};

}  // namespace gather

Tensor gather_rows_with_grad(Communicator& communicator, const Tensor& tensor, std::vector<int64_t>* counts) {
  c10::List<int64_t> rows;
  const Tensor all = gather::GatherRows::apply(tensor, reinterpret_cast<int64_t>(&communicator), rows);
  if (counts) *counts = rows.vec();
  return all;
}

Tensor exchange_with_grad(Communicator& communicator, const Tensor& tensor, int64_t to, int64_t from) {
  return gather::Exchange::apply(tensor, reinterpret_cast<int64_t>(&communicator), to, from);
}

}  // namespace vlm
