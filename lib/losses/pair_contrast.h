#pragma once
/// Variants of InfoNCE between paired rows that differ in what the positive is held against (specs: alignment, 8).

#include <ATen/core/Tensor.h>

namespace vlm {

using at::Tensor;

/// Both directions, scalars in nats.
struct PairContrast {
  Tensor i2t, t2i;
  Tensor loss() const;  ///< their mean
};

/// In all of them S = image textᵀ / temp; image, text: [B, d], unit rows, B of at least 2; temp: scalar. Of row b:

/// - S_bb + log sum_{k != b} e^S_bk: the positive does not push itself away (DCL, arXiv 2110.06848).
PairContrast decoupled_contrast(const Tensor& image, const Tensor& text, const Tensor& temp);

struct HardNegativeOptions {
  double alpha = 1;            ///< weight of the positive in the denominator
  double beta = 0;             ///< how much more the hard negatives count; with alpha 1 and beta 0 it is InfoNCE
  bool detach_weights = true;  ///< the weights are constants
};
/// - S_bb + log( alpha e^S_bb + sum_{k != b} w_bk e^S_bk ), w_bk = (B - 1) softmax over k != b of beta S_bk (HN-NCE, arXiv 2301.02280).
PairContrast hard_negative_contrast(const Tensor& image, const Tensor& text, const Tensor& temp, const HardNegativeOptions& options = {});

/// - log( e^S_bb / (e^S_bb + g_b) ), g_b = max( (sum_{k != b} e^S_bk - (B - 1) tau_plus e^S_bb) / (1 - tau_plus), (B - 1) e^(-1 / temp) ):
/// negatives corrected for the share tau_plus of them that belong to the row (arXiv 2007.00224). No gradient passes the bound.
PairContrast debiased_contrast(const Tensor& image, const Tensor& text, const Tensor& temp, double tau_plus = 0.1);

}  // namespace vlm
