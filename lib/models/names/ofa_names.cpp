#include "vlm/models/names/ofa_names.h"

#include "vlm/core/strings.h"
#include "vlm/models/names/name_rules.h"

namespace vlm {

namespace ofa_names {

/// fairseq's names left, HF's right.
constexpr NameRule rules[] = {
    {"encoder.layers.#.attn_ln.*", "encoder.layers.#.self_attn_mid_layer_norm.*"},
    {"encoder.layers.#.ffn_layernorm.*", "encoder.layers.#.ffn_layer_norm.*"},
    {"decoder.layers.#.self_attn_ln.*", "decoder.layers.#.self_attn_mid_layer_norm.*"},
    {"decoder.layers.#.encoder_attn.*", "decoder.layers.#.cross_attn.*"},
    {"decoder.layers.#.encoder_attn_layer_norm.*", "decoder.layers.#.cross_attn_layer_norm.*"},
    {"decoder.layers.#.cross_attn_ln.*", "decoder.layers.#.cross_attn_mid_layer_norm.*"},
    {"decoder.layers.#.ffn_layernorm.*", "decoder.layers.#.ffn_layer_norm.*"},
};

bool holds(const TensorMap& weights, const char* part) {
  for (const auto& [name, tensor] : weights) {
    if (name.find(part) != std::string::npos) return true;
  }
  return false;
}

}  // namespace ofa_names

bool is_ofa(const TensorMap& weights) {
  return weights.count("encoder.embed_image_positions.weight") > 0 && weights.count("encoder.embed_tokens.weight") > 0;
}

bool is_fairseq_ofa(const TensorMap& weights) {
  return is_ofa(weights) && (ofa_names::holds(weights, ".encoder_attn.") || ofa_names::holds(weights, "ffn_layernorm."));
}

TensorMap ofa_to_hf(const TensorMap& weights) { return left_to_right(weights, ofa_names::rules, UnknownNames::keep); }
TensorMap ofa_from_hf(const TensorMap& weights) { return right_to_left(weights, ofa_names::rules, UnknownNames::keep); }

}  // namespace vlm
