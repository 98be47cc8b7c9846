#include "vlm/models/layers/fast_linear.h"

#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "vlm/core/error.h"
#include "vlm/models/layers/attention.h"
#include "vlm/models/layers/few_rows.h"

namespace vlm {

namespace fast_linear_with {

using Reorder = Tensor(const Tensor&, std::optional<int64_t>);
using Pointwise = Tensor(const Tensor&, const Tensor&, const std::optional<Tensor>&, c10::string_view, c10::List<std::optional<at::Scalar>>,
                         std::optional<c10::string_view>);

/// Products with fewer multiplications than this are done before oneDNN has begun.
constexpr int64_t worth_it = int64_t{1} << 20;

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

bool has_onednn() { return pointwise() && reorder(); }

/// MKL has kernels of 512 bits for Intel's processors alone. Decided by what the processor is, not by a trial: results are the same from
/// run to run.
bool onednn_is_faster() {
#if defined(__x86_64__)
  static const bool faster = has_onednn() && __builtin_cpu_is("amd") && __builtin_cpu_supports("avx512f");
  return faster;
#else
  return false;
#endif
}

/// x Wᵀ + b, without gradients. weight: plain, with any strides, or packed.
Tensor product(const Tensor& x, const Tensor& weight, const Tensor& bias = {}) {
  return pointwise()->call(x.contiguous(), weight, bias.defined() ? std::optional<Tensor>(bias) : std::nullopt, "none",
                           c10::List<std::optional<at::Scalar>>(), std::nullopt);
}

struct Differentiable : torch::autograd::Function<Differentiable> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias) {
    context->save_for_backward({x, weight});
    context->saved_data["bias"] = bias.has_value();
    return product(x, weight, bias.value_or(Tensor()));  // [..., out]
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1];
    const Tensor gradient = gradients[0].reshape({-1, weight.size(0)});  // [rows, out]
    const Tensor rows = x.reshape({-1, weight.size(1)});                 // [rows, in]
    // A gradient of the gradient wants operators that have one.
    const auto times = [twice = at::GradMode::is_enabled()](const Tensor& a, const Tensor& b) { return twice ? at::matmul(a, b) : product(a, b.t()); };
    torch::autograd::variable_list out(3);
    if (context->needs_input_grad(0)) out[0] = times(gradient, weight).view_as(x);
    if (context->needs_input_grad(1)) out[1] = times(gradient.t(), rows);
    if (context->saved_data["bias"].toBool() && context->needs_input_grad(2)) out[2] = gradient.sum(0);
    return out;
  }
};

Tensor onednn(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  if (!has_onednn()) fail("this LibTorch was built without oneDNN");
  return Differentiable::apply(x, weight, bias.defined() ? std::optional<Tensor>(bias) : std::nullopt);
}

}  // namespace fast_linear_with

Tensor pack_weight(const Tensor& weight) {
  if (!weight.defined() || !weight.is_cpu() || weight.scalar_type() != at::kFloat || !fast_linear_with::has_onednn()) return {};
  at::NoGradGuard no_grad;
  return fast_linear_with::reorder()->call(weight.detach(), std::nullopt);
}

Tensor fast_linear(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& packed) {
  using namespace fast_linear_with;
  if (!x.is_cpu() || x.scalar_type() != at::kFloat || weight.scalar_type() != at::kFloat || at::autocast::is_autocast_enabled(at::kCPU)) {
    return at::linear(x, weight, bias);
  }
  const int64_t in = weight.size(1), out = weight.size(0), rows = in > 0 ? x.numel() / in : 0;
  const bool faster = rows > few_rows_limit && rows * in * out >= worth_it && x.size(-1) == in && onednn_is_faster();
  if (at::GradMode::is_enabled()) return faster ? onednn(x, weight, bias) : at::linear(x, weight, bias);
  if (rows > 0 && rows <= few_rows_limit && few_rows_supported() && weight.is_contiguous() && x.size(-1) == in) {
    const Tensor input = x.contiguous();
    auto shape = x.sizes().vec();
    shape.back() = out;
    Tensor y = at::empty(shape, x.options());
    few_rows_linear(input.const_data_ptr<float>(), weight.const_data_ptr<float>(), bias.defined() ? bias.const_data_ptr<float>() : nullptr,
                    y.mutable_data_ptr<float>(), rows, in, out);
    return y;
  }
  if (packed.defined()) return product(x, packed, bias);
  return faster ? product(x, weight, bias) : at::linear(x, weight, bias);
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
