#pragma once
/// The image tower of CLIP: a vision transformer (Dosovitskiy et al., arXiv 2010.11929) with open_clip's pooling variants.

#include <memory>
#include <optional>
#include <vector>

#include "vlm/models/clip/config.h"
#include "vlm/models/layers/ggem.h"
#include "vlm/models/layers/transformer.h"
#include "vlm/models/layers/vision_tower.h"

namespace vlm {

/// Learned queries attend to all tokens (CoCa, arXiv 2205.01917).
class AttentionalPooler : public torch::nn::Module {
 public:
  AttentionalPooler(int64_t width, int64_t context_width, int64_t heads, int64_t queries, double eps);
  /// x: [B, N, context_width]. Returns [B, queries, width].
  Tensor forward(const Tensor& x) const;

  Tensor query;  ///< [queries, width]
  std::shared_ptr<LayerNorm> ln_q, ln_k;
  std::shared_ptr<MultiheadAttention> attn;
};

/// Keeps the class token (row 0) and `max(1, int(N (1 - p)))` patches, those with the largest keys, in that order.
/// tokens: [B, N + 1, D], keys: [B, N] (in training, drawn from N(0, 1)).
Tensor drop_patches(const Tensor& tokens, const Tensor& keys, double probability);

/// Fixed positions of a grid: [height * width + 1, D], the class row zero. Half of the channels encode the column.
Tensor sin_cos_2d_positions(int64_t height, int64_t width, int64_t dim);

enum class TableResize {
  bicubic_antialias,  ///< open_clip
  bicubic,            ///< HF, ALBEF
  bilinear,           ///< mPLUG
};

/// A table of positions for another grid, its first rows as they are. table: [prefix + old side², D]. Pixel centres lie at halves.
Tensor resize_position_table(const Tensor& table, int64_t height, int64_t width, int64_t prefix_tokens, TableResize how);
inline Tensor resize_position_table(const Tensor& table, int64_t height, int64_t width, int64_t prefix_tokens, bool antialias) {
  return resize_position_table(table, height, width, prefix_tokens, antialias ? TableResize::bicubic_antialias : TableResize::bicubic);
}
/// A table of positions for another length, linear. table: [L, D].
Tensor resize_text_position_table(const Tensor& table, int64_t length);

class VisionTransformer : public VisionTower {
 public:
  /// embed_dim 0: without proj, for those who read the tokens.
  VisionTransformer(const VisionConfig& config, int64_t embed_dim);
  /// image: [B, 3, H, W].
  VisionOutput forward(const Tensor& image, Trace* trace = nullptr) const override;
  /// 0 also with pooling "parallel" or "cascade".
  int64_t pooled_width() const override { return proj.defined() && !attn_pool_contrastive ? proj.size(0) : 0; }
  /// What leaves the last block, before ln_post, class token first: [B, N + 1, D]. A picture smaller than image_size takes the
  /// first rows of the position table (specs: mplug, 1.1).
  Tensor states(const Tensor& image, Trace* trace = nullptr) const;

  Tensor class_embedding;        ///< [D]
  Tensor positional_embedding;   ///< [N + 1, D]
  Tensor proj;                   ///< [pooled width, E], used as x @ proj; undefined without
  std::shared_ptr<torch::nn::Module> conv1;
  std::shared_ptr<LayerNorm> ln_pre, ln_post;
  std::shared_ptr<Transformer> transformer;
  std::shared_ptr<AttentionalPooler> attn_pool, attn_pool_contrastive;
  std::shared_ptr<GGeM> ggem;

 private:
  VisionConfig config_;
  Tensor patch_weight_;          ///< conv1.weight [D, 3, P, P]
};

}  // namespace vlm
