#include "vlm/losses/token_likelihood.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/log_softmax.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "vlm/core/error.h"

namespace vlm {

namespace token_likelihoods {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

struct Likelihood : torch::autograd::Function<Likelihood> {
  // An optional, since a function's arguments may not be undefined tensors.
  static variable_list forward(AutogradContext* context, const Variable& logits, const Tensor& ids, const std::optional<Tensor>& mask, bool with_smooth) {
    const Tensor allowed = mask.value_or(Tensor());
    const Tensor log_p = at::log_softmax(logits, 1, logits.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
    context->save_for_backward({log_p, ids, allowed});
    context->saved_data["type"] = logits.scalar_type();
    context->saved_data["with_smooth"] = with_smooth;
    const Tensor nll = log_p.gather(1, ids.unsqueeze(1)).squeeze(1).neg_();
    if (!with_smooth) return {nll};
    return {nll, (allowed.defined() ? log_p.masked_fill(allowed.logical_not(), 0) : log_p).sum(1).neg_()};
  }

  /// d nll / d logits = p - right;  d smooth / d logits = n p - allowed, with n tokens allowed.
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor &log_p = saved[0], &ids = saved[1], &allowed = saved[2];
    const bool with_smooth = context->saved_data["with_smooth"].toBool();
    const Tensor of_nll = gradients[0];
    Tensor weight = of_nll;
    if (with_smooth) {
      const Tensor& of_smooth = gradients[1];
      weight = of_nll + (allowed.defined() ? of_smooth * allowed.sum(-1) : of_smooth * log_p.size(1));
    }
    Tensor gradient = at::exp(log_p);
    gradient.mul_(weight.unsqueeze(1));
    if (with_smooth) {
      const Tensor share = gradients[1].unsqueeze(1);
      gradient.sub_(allowed.defined() ? share * allowed : share);
    }
    gradient.scatter_add_(1, ids.unsqueeze(1), of_nll.neg().unsqueeze(1));
    return {gradient.to(context->saved_data["type"].toScalarType()), Variable(), Variable(), Variable()};
  }
};

}  // namespace token_likelihoods

TokenLikelihood token_likelihood(const Tensor& logits, const Tensor& ids, const Tensor& allowed, bool with_smooth) {
  if (logits.dim() != 2 || ids.dim() != 1 || ids.size(0) != logits.size(0)) {
    fail("token_likelihood takes logits [N, V] and ids [N], not ", logits.sizes(), " and ", ids.sizes());
  }
  const auto out = token_likelihoods::Likelihood::apply(logits, ids, allowed.defined() ? std::optional<Tensor>(allowed) : std::nullopt, with_smooth);
  return {out[0], with_smooth ? out[1] : Tensor()};
}

}  // namespace vlm
