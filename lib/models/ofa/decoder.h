#pragma once
/// OFA's decoder: text or picture codes, all positions at once or token by token (specs: ofa, 2.6).

#include <memory>

#include "vlm/models/layers/recompute.h"
#include "vlm/models/ofa/layers.h"
#include "vlm/models/ofa/ofa.h"

namespace vlm {

/// What a decoder needs to know of the instructions, computed once.
struct OfaContext {
  std::vector<std::pair<Tensor, Tensor>> cross;  ///< keys and values of the encoder's states, one pair a layer: [B, H, N, h]
  Tensor position_keys;                          ///< [B, H, N, h]: the encoder's positions as cross attention sees them
  Tensor padding;                                ///< [B, 1, 1, N], added to scores; undefined: nothing is hidden
  Tensor codes;                                  ///< [B], bool: rows that write codes; undefined: none do
  bool all_codes = false;                        ///< every row writes codes

  int64_t instructions() const { return position_keys.size(0); }
  void keep(const Tensor& pictures);
};

/// Queries and keys of the decoder's positions, for text or for codes; grows as texts do.
struct OfaPositionTerms {
  Tensor places;                     ///< [L, D]: the embeddings themselves
  Tensor self_q, self_k, cross_q;    ///< [1, H, L, h]; queries are scaled
};

class OfaDecoder : public torch::nn::Module, public RecomputedBlocks {
 public:
  explicit OfaDecoder(const OfaConfig& config);

  OfaContext look_at(const OfaEncoded& encoded) const;
  /// What one call computes with.
  struct Call {
    Tensor previous;                          ///< [R, n], int64
    int64_t past = 0;                         ///< tokens before these
    std::vector<KeyValueCache>* caches = nullptr;
    Tensor key_mask;                          ///< [R, past + n], bool, true: padding; undefined: there is none
    OfaPositionTerms text, code;              ///< of at least past + n positions, where needed
    double exit_threshold = 2;                ///< leave when a layer's output resembles its input more than this
    std::vector<Tensor>* layer_outputs = nullptr;
    std::vector<OfaPrefix> prefixes;
  };
  /// States before the vocabulary, [R, n, D]. `ran`: layers that were computed.
  Tensor forward(const OfaContext& context, const Tensor& word_embeddings, const Call& call, int64_t& ran) const;
  OfaPositionTerms position_terms(bool codes, int64_t length) const;
  std::vector<OfaPrefix> prefixes() const;

  std::shared_ptr<Embedding> embed_positions, embed_image_positions;
  std::shared_ptr<LayerNorm> layernorm_embedding, code_layernorm_embedding, pos_ln, image_pos_ln, layer_norm;
  std::shared_ptr<Linear> self_pos_q_linear, self_pos_k_linear, cross_pos_q_linear, cross_pos_k_linear;
  std::shared_ptr<LayerList<OfaDecoderLayer>> layers;
  std::shared_ptr<LayerList<Embedding>> token_rel_pos_table_list, image_rel_pos_table_list;
  std::shared_ptr<OfaPromptEncoder> decoder_prompt_encoder;  ///< absent without prompts

 private:
  Tensor embed(const OfaContext& context, const Tensor& word_embeddings, const Call& call) const;
  Tensor per_instruction(const OfaContext& context, const Tensor& text, const Tensor& code) const;
  Tensor self_bias(const OfaContext& context, size_t layer, const Call& call, const Tensor& absolute) const;

  OfaConfig config_;
};

/// A decoder with its caches.
class OfaReplyState : public DecoderState {
 public:
  OfaReplyState(const OfaModel& model, std::shared_ptr<const OfaEncoded> encoded, const OfaExitThresholds& thresholds);
  Tensor step(const Tensor& ids, const Tensor& mask) override;
  void select(const Tensor& rows) override;
  bool keep_pictures(const Tensor& pictures) override;

 private:
  const OfaModel& model_;
  OfaContext context_;
  OfaExitThresholds thresholds_;
  std::vector<KeyValueCache> caches_;
  std::vector<OfaPrefix> prefixes_;
  OfaPositionTerms text_, code_;
  Tensor padding_;          ///< [R, length], bool; undefined as long as no padding was fed
  int64_t length_ = 0, rows_ = 0;
};

}  // namespace vlm
