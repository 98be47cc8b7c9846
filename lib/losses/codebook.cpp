#include "vlm/losses/codebook.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones_like.h>
#include <c10/core/GradMode.h>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/losses/unit_rows.h"

namespace vlm {

namespace codebooks {

Tensor ipot(const Tensor& cost, const CodebookOptions& options) {
  const auto rows = static_cast<double>(cost.size(0)), columns = static_cast<double>(cost.size(1));
  const Tensor kernel = at::exp(cost / -options.beta);
  Tensor plan = at::ones_like(cost);
  Tensor sigma = at::ones_like(cost.narrow(0, 0, 1)) / columns;  // [1, K]
  for (int64_t i = 0; i < options.iterations; ++i) {
    const Tensor q = kernel * plan;
    Tensor delta;                                                // [B, 1]
    for (int64_t j = 0; j < options.inner; ++j) {
      delta = 1 / (rows * (q * sigma).sum(1, true));
      sigma = 1 / (columns * (q * delta).sum(0, true));
    }
    plan = delta * q * sigma;
  }
  return plan;
}

Tensor sinkhorn(const Tensor& cost, const CodebookOptions& options) {
  const auto rows = static_cast<double>(cost.size(0)), columns = static_cast<double>(cost.size(1));
  Tensor plan = at::exp((cost.min() - cost) / options.epsilon);
  plan = plan / plan.sum();
  for (int64_t i = 0; i < options.sinkhorn_iterations; ++i) {
    plan = plan / (plan.sum(0, true) * columns);
    plan = plan / (plan.sum(1, true) * rows);
  }
  return plan;
}

/// Cross entropy of a student's choice of codes against the plan, whose rows are B times too small.
Tensor prediction(const Tensor& student, const Tensor& codes, const Tensor& plan, const Tensor& temp) {
  return -(plan * at::log_softmax(at::matmul(student, codes.t()) / temp, 1)).sum();
}

}  // namespace codebooks

Tensor codebook_cost(const Tensor& features, const Tensor& codebook) {
  if (features.dim() != 2 || codebook.dim() != 2 || features.size(1) != codebook.size(1)) {
    fail("a codebook [K, d] takes features [B, d]: got ", codebook.sizes(), " and ", features.sizes());
  }
  return 1 - at::matmul(features, unit_rows(codebook).t());
}

Tensor codebook_assignment(const Tensor& cost, const CodebookOptions& options) {
  const bool ipot = options.algorithm == "ipot";
  if (!ipot && options.algorithm != "sinkhorn") {
    fail_usage("unknown codebook.algorithm '", options.algorithm, "'", did_you_mean(options.algorithm, {"ipot", "sinkhorn"}),
               "; there are: ipot, sinkhorn");
  }
  if (ipot ? options.beta <= 0 || options.iterations < 1 || options.inner < 1 : options.epsilon <= 0 || options.sinkhorn_iterations < 1) {
    fail_usage("a codebook's assignment needs positive ", ipot ? "beta, iterations and inner" : "epsilon and sinkhorn_iterations");
  }
  at::NoGradGuard no_grad;
  const Tensor exact = cost.detach().to(at::kDouble);
  return (ipot ? codebooks::ipot(exact, options) : codebooks::sinkhorn(exact, options)).to(cost.scalar_type());
}

Tensor CodebookLoss::loss() const { return transport + text_to_plan + image_to_plan; }

CodebookLoss codebook_loss(const Tensor& image, const Tensor& text, const Tensor& image_m, const Tensor& text_m, const Tensor& codebook,
                           const Tensor& temp, const CodebookOptions& options) {
  if (image.sizes() != text.sizes() || image.sizes() != image_m.sizes() || image.sizes() != text_m.sizes()) {
    fail("a codebook's loss takes four features of one shape: image ", image.sizes(), ", text ", text.sizes(), ", image_m ", image_m.sizes(),
         ", text_m ", text_m.sizes());
  }
  const Tensor codes = unit_rows(codebook);
  const Tensor cost_image = codebook_cost(image_m.detach(), codebook), cost_text = codebook_cost(text_m.detach(), codebook);
  CodebookLoss out;
  out.plan_image = codebook_assignment(cost_image, options);
  out.plan_text = codebook_assignment(cost_text, options);
  out.transport = (out.plan_image * cost_image).sum() + (out.plan_text * cost_text).sum();
  out.text_to_plan = codebooks::prediction(text, codes, out.plan_image, temp);
  out.image_to_plan = codebooks::prediction(image, codes, out.plan_text, temp);
  return out;
}

}  // namespace vlm
