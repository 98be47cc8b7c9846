#pragma once
/// Structure in the shared space of pictures and texts that contrast alone does not ask for (arXiv 2303.05952, section 4; specs:
/// alignment, 6). All features are [N, d], unit rows; those called `aug` are of augmented inputs, those called `ind` come from
/// projections of their own. Gradients reach every feature that has one.

#include <ATen/core/Tensor.h>

namespace vlm {

using at::Tensor;

/// - mean log softmax of matching rows: rows of `anchors` among `others`, divided by temp. One direction of InfoNCE.
Tensor row_contrast(const Tensor& anchors, const Tensor& others, const Tensor& temp);

/// Contrast across and within the modalities: ¼ (V2T + T2V + V2V + T2T); within a modality against the augmented features.
struct LatentContrast {
  Tensor v2t, t2v, v2v, t2t;
  Tensor loss() const;
};
LatentContrast latent_contrast(const Tensor& image, const Tensor& text, const Tensor& image_aug, const Tensor& text_aug, const Tensor& temp);

/// Deep feature separation (4.1): what a modality has for itself is kept orthogonal to what it shares, told apart sample by sample,
/// and spread out.
struct FeatureSeparation {
  Tensor orthogonal;   ///< mean over samples of <z_V, z_V^ind>² + <z_T, z_T^ind>²
  Tensor contrast;     ///< V2V + T2T of the independent features
  Tensor uniform;      ///< log( 1/N sum_jk exp(-t |z_V,j - z_V,k|²) + exp(-t |z_T,j - z_T,k|²) ), of the independent features
  Tensor loss() const;
};
FeatureSeparation feature_separation(const Tensor& image, const Tensor& text, const Tensor& image_ind, const Tensor& text_ind,
                                     const Tensor& image_ind_aug, const Tensor& text_ind_aug, const Tensor& temp, double uniformity_t = 2);

/// Brownian bridge (4.2): the augmented picture lies between its text (t = 0) and itself (t = 1).
struct BrownianBridge {
  Tensor mean;          ///< [N, d]: normalize(t z_V + (1 - t) z_T)
  Tensor row_loss;      ///< [N]: |z_V^aug - mean|²
  Tensor loss() const;  ///< their mean
};
BrownianBridge brownian_bridge(const Tensor& image, const Tensor& text, const Tensor& image_aug, double t = 0.25);

/// Geometric consistency (4.3): similarities are alike across modalities (CyCLIP, arXiv 2205.14459) and under augmentation. Sums over
/// ordered pairs, divided by N.
struct GeometricConsistency {
  Tensor original, augmented;
  Tensor loss() const;  ///< their sum
};
GeometricConsistency geometric_consistency(const Tensor& image, const Tensor& text, const Tensor& image_aug, const Tensor& text_aug);

}  // namespace vlm
