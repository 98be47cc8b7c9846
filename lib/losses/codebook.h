#pragma once
/// Alignment by a codebook: pictures and texts are told to choose the same cluster centres, which are learnt beside them (CODIS,
/// arXiv 2203.00048; specs: alignment, 5). CODIS' contrast is image_text_contrast() and intra_modal_contrast() with soft targets.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "vlm/core/config.h"

namespace vlm {

using at::Tensor;

struct CodebookOptions {
  std::string algorithm = "ipot";
  double beta = 0.5;
  int64_t iterations = 50;
  int64_t inner = 1;
  double epsilon = 0.05;
  int64_t sinkhorn_iterations = 3;

  void fields(Fields& f) {
    f.field("algorithm", algorithm, "how a batch is shared out among the codes: ipot (inexact proximal point) or sinkhorn");
    f.field("beta", beta, "ipot: weight of the proximal term");
    f.field("iterations", iterations, "ipot: outer iterations");
    f.field("inner", inner, "ipot: balancing steps in each iteration");
    f.field("epsilon", epsilon, "sinkhorn: entropic regularisation");
    f.field("sinkhorn_iterations", sinkhorn_iterations, "sinkhorn: balancing steps");
  }
};

/// [B, K]: 1 - cosine of features [B, d] (unit rows) and codes [K, d] (of any length; the gradient passes through their
/// normalisation).
Tensor codebook_cost(const Tensor& features, const Tensor& codebook);

/// The plan T >= 0, [B, K], that minimises <T, cost> with row sums of 1/B and column sums of 1/K, approximately: ipot
/// (arXiv 1802.04307) meets the columns exactly, sinkhorn (arXiv 1306.0895) the rows. Computed in float64, returned as `cost` is;
/// a constant. Throws a usage error for an algorithm that does not exist.
Tensor codebook_assignment(const Tensor& cost, const CodebookOptions& options = {});

struct CodebookLoss {
  Tensor plan_image, plan_text;  ///< [B, K], of the momentum features
  Tensor transport;              ///< <plan, cost> of both modalities; its gradient reaches the codebook alone
  Tensor text_to_plan;           ///< the text tells which codes the picture's momentum feature has, and
  Tensor image_to_plan;          ///< the other way round: cross entropies against B times the plan
  Tensor loss() const;           ///< their sum
};

/// image, text: [B, d], unit rows, with gradient; image_m, text_m: those of the momentum networks, constants. codebook: [K, d].
/// temp: scalar that the students' similarities to codes are divided by.
CodebookLoss codebook_loss(const Tensor& image, const Tensor& text, const Tensor& image_m, const Tensor& text_m, const Tensor& codebook,
                           const Tensor& temp, const CodebookOptions& options = {});

}  // namespace vlm
