#include "vlm/models/names/blip_names.h"

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/models/names/name_rules.h"

namespace vlm {

namespace blip_names {

/// Text names are the same in both layouts.
constexpr NameRule rules[] = {
    {"visual_encoder.cls_token", "vision_model.embeddings.class_embedding"},
    {"visual_encoder.pos_embed", "vision_model.embeddings.position_embedding"},
    {"visual_encoder.patch_embed.proj.*", "vision_model.embeddings.patch_embedding.*"},
    {"visual_encoder.blocks.#.norm1.*", "vision_model.encoder.layers.#.layer_norm1.*"},
    {"visual_encoder.blocks.#.norm2.*", "vision_model.encoder.layers.#.layer_norm2.*"},
    {"visual_encoder.blocks.#.attn.qkv.*", "vision_model.encoder.layers.#.self_attn.qkv.*"},
    {"visual_encoder.blocks.#.attn.proj.*", "vision_model.encoder.layers.#.self_attn.projection.*"},
    {"visual_encoder.blocks.#.mlp.fc1.*", "vision_model.encoder.layers.#.mlp.fc1.*"},
    {"visual_encoder.blocks.#.mlp.fc2.*", "vision_model.encoder.layers.#.mlp.fc2.*"},
    {"visual_encoder.norm.*", "vision_model.post_layernorm.*"},
};

/// What only the original training code uses.
bool only_for_training(const std::string& name) {
  if (name == "temp" || name == "queue" || ends_with(name, "_queue") || starts_with(name, "queue_") || name == "queue_ptr")
    return true;
  const size_t dot = name.find('.');
  return dot != std::string::npos && ends_with(name.substr(0, dot), "_m");
}

}  // namespace blip_names

bool is_hf_blip(const TensorMap& weights) {
  const auto it = weights.find("vision_model.embeddings.class_embedding");
  return it != weights.end() && it->second.dim() == 3;
}

bool is_original_blip(const TensorMap& weights) {
  if (!weights.count("visual_encoder.cls_token") || !weights.count("visual_encoder.blocks.0.attn.qkv.weight")) return false;
  // ALBEF's image tower has the same names, but the lower layers of its text encoder do not see the picture.
  const bool encoder = weights.count("text_encoder.encoder.layer.0.attention.self.query.weight") > 0;
  return weights.count(encoder ? "text_encoder.encoder.layer.0.crossattention.self.query.weight"
                               : "text_decoder.bert.encoder.layer.0.crossattention.self.query.weight") > 0;
}

TensorMap blip_to_hf(const TensorMap& weights) {
  TensorMap wanted;
  for (const auto& [name, tensor] : weights) {
    if (!blip_names::only_for_training(name)) wanted.emplace(name, tensor);
  }
  return left_to_right(wanted, blip_names::rules, UnknownNames::keep);
}

TensorMap blip_from_hf(const TensorMap& weights) { return right_to_left(weights, blip_names::rules, UnknownNames::keep); }

}  // namespace vlm
