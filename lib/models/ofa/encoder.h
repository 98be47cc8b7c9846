#pragma once
/// OFA's encoder: patches of a picture and tokens of a text in one sequence (specs: ofa, 2.4, 2.5; MuE: 8.3).

#include <memory>
#include <optional>

#include "vlm/models/layers/recompute.h"
#include "vlm/models/ofa/layers.h"
#include "vlm/models/ofa/ofa.h"
#include "vlm/models/ofa/resnet.h"

namespace vlm {

class OfaEncoder : public torch::nn::Module, public RecomputedBlocks {
 public:
  explicit OfaEncoder(const OfaConfig& config);
  std::shared_ptr<OfaEncoded> forward(const Instruction& instruction) const;
  /// As MuE does it: text and picture apart, each until a layer changes little. `ran`: layers of the picture and of the text.
  std::shared_ptr<OfaEncoded> forward_apart(const Instruction& instruction, const OfaExitThresholds& thresholds, std::vector<int64_t>& ran) const;

  std::shared_ptr<Embedding> embed_tokens, embed_positions, embed_image_positions, type_embedding;
  std::shared_ptr<LayerNorm> layernorm_embedding, patch_layernorm_embedding;
  std::shared_ptr<LayerNorm> pos_ln, image_pos_ln, layer_norm;
  std::shared_ptr<OfaTrunk> embed_images;
  std::shared_ptr<Linear> image_proj, pos_q_linear, pos_k_linear;
  std::shared_ptr<LayerList<OfaEncoderLayer>> layers;
  std::shared_ptr<LayerList<Embedding>> token_rel_pos_table_list, image_rel_pos_table_list;
  std::shared_ptr<OfaPromptEncoder> encoder_prompt_encoder;  ///< absent without prompts

 private:
  struct Input;
  Input embed(const Instruction& instruction) const;
  void embed_text(const Instruction& instruction, Input& input) const;
  void embed_pictures(const Instruction& instruction, Input& input) const;
  Tensor absolute_bias(const Tensor& positions) const;
  Tensor layer_bias(size_t layer, const Input& input, const Tensor& absolute) const;
  Tensor run_layer(size_t layer, const Tensor& x, const Tensor& bias, const OfaPrefix& prefix) const;

  OfaConfig config_;
};

/// Cosine similarity of two tensors, each read as one vector.
double ofa_similarity(const Tensor& a, const Tensor& b);
/// What hides keys: [B, 1, 1, N] with -inf where `padding`, [B, N], is true.
Tensor ofa_padding_bias(const Tensor& padding);

}  // namespace vlm
