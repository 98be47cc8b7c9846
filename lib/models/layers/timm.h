#pragma once
/// The vision transformer of timm: its parts under timm's names, which SigLIP's tower has, too, and the whole of DeiT without its
/// classifier (Touvron et al., arXiv 2012.12877), which ALBEF and its kin look through. Specs: alignment, 1.1; clip, 3.

#include <memory>

#include "vlm/models/layers/attention.h"
#include "vlm/models/layers/recompute.h"

namespace vlm {

struct TimmOptions {
  int64_t width = 768, mlp_width = 3072, layers = 12, heads = 12, patch_size = 16;
  int64_t image_height = 224, image_width = 224;  ///< decide how many positions there are
  double eps = 1e-6;
  double init_std = 0.02;  ///< of new linear weights
  Activation activation = Activation::gelu;
};

/// fc1, activation, fc2.
class TimmMlp : public torch::nn::Module {
 public:
  TimmMlp(int64_t width, int64_t hidden, Activation activation);
  Tensor forward(const Tensor& x) const { return fc2->forward(activate(fc1->forward(x), activation_)); }

  std::shared_ptr<Linear> fc1, fc2;

 private:
  Activation activation_;
};

class TimmAttention : public torch::nn::Module {
 public:
  TimmAttention(int64_t width, int64_t heads);
  /// x: [B, N, D]. The probabilities go to `probabilities`, if given (AttendOptions).
  Tensor forward(const Tensor& x, Tensor* probabilities = nullptr) const;

  std::shared_ptr<Linear> qkv, proj;

 private:
  int64_t heads_;
};

/// x + attn(norm1(x)), then + mlp(norm2(x)).
class TimmBlock : public torch::nn::Module {
 public:
  explicit TimmBlock(const TimmOptions& options);
  Tensor forward(Tensor x, Tensor* probabilities = nullptr) const;

  std::shared_ptr<LayerNorm> norm1, norm2;
  std::shared_ptr<TimmAttention> attn;
  std::shared_ptr<TimmMlp> mlp;
};

class TimmPatchEmbed : public torch::nn::Module {
 public:
  TimmPatchEmbed(int64_t width, int64_t patch);
  /// image: [B, 3, H, W]. Returns [B, N, D], row by row.
  Tensor forward(const Tensor& image) const;

 private:
  class Convolution;
  std::shared_ptr<Convolution> proj_;
  int64_t patch_;
};

/// A class token in front, learned positions, blocks, and a last norm. All tokens come out.
class TimmVision : public torch::nn::Module, public RecomputedBlocks {
 public:
  explicit TimmVision(const TimmOptions& options);
  /// image: [B, 3, H, W], no larger than the options say (a smaller one takes the first positions). Returns [B, 1 + N, D].
  Tensor forward(const Tensor& image, AttentionTrace* trace = nullptr) const;

  Tensor cls_token, pos_embed;  ///< [1, 1, D], [1, 1 + N, D]
  std::shared_ptr<TimmPatchEmbed> patch_embed;
  std::shared_ptr<LayerList<TimmBlock>> blocks;
  std::shared_ptr<LayerNorm> norm;
};

/// The positions of a TimmVision for pictures of another size: the class token's row is kept, the square grid behind it is resized,
/// bicubic (a = -0.75), without smoothing. pos_embed: [1, 1 + side², D]; returns [1, 1 + new_side², D].
Tensor resize_timm_positions(const Tensor& pos_embed, int64_t new_side);

}  // namespace vlm
