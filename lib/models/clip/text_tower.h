#pragma once
/// The text tower of CLIP (specs: clip, 2.2) and, with `embed_cls`, of CoCa (section 4).

#include <memory>

#include "vlm/models/layers/vit.h"

namespace vlm {

struct TextOutput {
  Tensor features;  ///< [B, E], not normalised
  Tensor tokens;    ///< [B, L, D]: after ln_final, with embed_cls before it and without the class position
  Tensor pooled;    ///< [B, D]: what `features` is the projection of, or is
};

class TextTransformer : public torch::nn::Module {
 public:
  TextTransformer(const TextConfig& config, int64_t embed_dim);
  /// ids: [B, L], L up to the context length; key_mask: [B, L], 0 for ids that are not to be seen (undefined: all are).
  TextOutput forward(const Tensor& ids, Trace* trace = nullptr, const Tensor& key_mask = {}) const;
  /// Which key each query may see with embed_cls: bool [B, L + 1, L + 1]. The key mask is shifted by one position, as the
  /// released CoCa weights were trained with it.
  Tensor allowed_with_cls(const Tensor& ids) const;

  Tensor positional_embedding;  ///< [context (+ 1 with embed_cls), D]
  Tensor cls_emb;               ///< [D], with embed_cls
  Tensor text_projection;       ///< [D, E], used as x @ text_projection; absent with proj_bias or proj_type none
  std::shared_ptr<Embedding> token_embedding;
  std::shared_ptr<Transformer> transformer;
  std::shared_ptr<LayerNorm> ln_final;
  std::shared_ptr<Linear> projection;  ///< called text_projection too, with proj_bias

 private:
  TextConfig config_;
};

}  // namespace vlm
