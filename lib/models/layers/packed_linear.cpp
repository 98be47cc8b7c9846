#include "vlm/models/layers/packed_linear.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <c10/core/GradMode.h>

#include "vlm/models/layers/attention.h"
#include "vlm/models/layers/few_rows.h"

namespace vlm {

namespace packed_linear {

using Reorder = Tensor(const Tensor&, std::optional<int64_t>);
using Pointwise = Tensor(const Tensor&, const Tensor&, const std::optional<Tensor>&, c10::string_view, c10::List<std::optional<at::Scalar>>,
                         std::optional<c10::string_view>);

/// The operators are LibTorch's own but have no C++ function, so they are found by name; absent in builds without oneDNN.
template <class Signature>
std::optional<c10::TypedOperatorHandle<Signature>> find(const char* name) {
  const auto handle = c10::Dispatcher::singleton().findSchema({name, ""});
  if (!handle) return std::nullopt;
  return handle->typed<Signature>();
}

const auto& reorder() {
  static const auto op = find<Reorder>("mkldnn::_reorder_linear_weight");
  return op;
}

const auto& pointwise() {
  static const auto op = find<Pointwise>("mkldnn::_linear_pointwise");
  return op;
}

}  // namespace packed_linear

Tensor pack_weight(const Tensor& weight) {
  if (!weight.defined() || !weight.is_cpu() || weight.scalar_type() != at::kFloat || !packed_linear::reorder() || !packed_linear::pointwise()) return {};
  at::NoGradGuard no_grad;
  return packed_linear::reorder()->call(weight.detach(), std::nullopt);
}

Tensor inference_linear(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& packed) {
  if (at::GradMode::is_enabled() || !x.is_cpu() || x.scalar_type() != at::kFloat || weight.scalar_type() != at::kFloat) {
    return at::linear(x, weight, bias);
  }
  const int64_t in = weight.size(1), rows = in > 0 ? x.numel() / in : 0;
  if (rows > 0 && rows <= few_rows_limit && few_rows_supported() && weight.is_contiguous() && x.size(-1) == in) {
    const Tensor input = x.contiguous();
    auto shape = x.sizes().vec();
    shape.back() = weight.size(0);
    Tensor out = at::empty(shape, x.options());
    few_rows_linear(input.const_data_ptr<float>(), weight.const_data_ptr<float>(), bias.defined() ? bias.const_data_ptr<float>() : nullptr,
                    out.mutable_data_ptr<float>(), rows, in, weight.size(0));
    return out;
  }
  if (!packed.defined()) return at::linear(x, weight, bias);
  return packed_linear::pointwise()->call(x.contiguous(), packed, bias.defined() ? std::optional<Tensor>(bias) : std::nullopt, "none",
                                          c10::List<std::optional<at::Scalar>>(), std::nullopt);
}

void pack_for_inference(Model& model) {
  auto* module = dynamic_cast<torch::nn::Module*>(&model);
  if (!module) return;
  for (const auto& part : module->modules(/*include_self=*/false)) {
    if (auto* linear = dynamic_cast<Linear*>(part.get())) linear->packed = pack_weight(linear->weight);
    if (auto* attention = dynamic_cast<MultiheadAttention*>(part.get())) attention->packed = pack_weight(attention->in_proj_weight);
  }
}

}  // namespace vlm
