#include "vlm/models/names/siglip_names.h"

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/models/names/name_rules.h"

namespace vlm {

namespace siglip_names {

constexpr NameRule rules[] = {
    {"logit_scale", "logit_scale"},
    {"logit_bias", "logit_bias"},
    {"visual.trunk.patch_embed.proj.*", "vision_model.embeddings.patch_embedding.*"},
    {"visual.trunk.pos_embed", "vision_model.embeddings.position_embedding.weight", NameAction::leading_axis},
    {"visual.trunk.blocks.#.norm1.*", "vision_model.encoder.layers.#.layer_norm1.*"},
    {"visual.trunk.blocks.#.norm2.*", "vision_model.encoder.layers.#.layer_norm2.*"},
    {"visual.trunk.blocks.#.attn.qkv.*", "vision_model.encoder.layers.#.self_attn.?_proj.*", NameAction::left_fused},
    {"visual.trunk.blocks.#.attn.proj.*", "vision_model.encoder.layers.#.self_attn.out_proj.*"},
    {"visual.trunk.blocks.#.mlp.fc1.*", "vision_model.encoder.layers.#.mlp.fc1.*"},
    {"visual.trunk.blocks.#.mlp.fc2.*", "vision_model.encoder.layers.#.mlp.fc2.*"},
    {"visual.trunk.norm.*", "vision_model.post_layernorm.*"},
    {"visual.trunk.attn_pool.latent", "vision_model.head.probe"},
    {"visual.trunk.attn_pool.?.*", "vision_model.head.attention.in_proj_*", NameAction::right_fused},
    {"visual.trunk.attn_pool.proj.*", "vision_model.head.attention.out_proj.*"},
    {"visual.trunk.attn_pool.norm.*", "vision_model.head.layernorm.*"},
    {"visual.trunk.attn_pool.mlp.fc1.*", "vision_model.head.mlp.fc1.*"},
    {"visual.trunk.attn_pool.mlp.fc2.*", "vision_model.head.mlp.fc2.*"},
    {"text.token_embedding.weight", "text_model.embeddings.token_embedding.weight"},
    {"text.positional_embedding", "text_model.embeddings.position_embedding.weight"},
    {"text.transformer.resblocks.#.ln_1.*", "text_model.encoder.layers.#.layer_norm1.*"},
    {"text.transformer.resblocks.#.ln_2.*", "text_model.encoder.layers.#.layer_norm2.*"},
    {"text.transformer.resblocks.#.attn.in_proj_*", "text_model.encoder.layers.#.self_attn.?_proj.*",
     NameAction::left_fused},
    {"text.transformer.resblocks.#.attn.out_proj.*", "text_model.encoder.layers.#.self_attn.out_proj.*"},
    {"text.transformer.resblocks.#.mlp.c_fc.*", "text_model.encoder.layers.#.mlp.fc1.*"},
    {"text.transformer.resblocks.#.mlp.c_proj.*", "text_model.encoder.layers.#.mlp.fc2.*"},
    {"text.ln_final.*", "text_model.final_layer_norm.*"},
    {"text.text_projection.*", "text_model.head.*"},
};

/// "vision_model.vision_model.x" to "vision_model.x".
std::string unnested(const std::string& name) {
  for (const char* twice : {"vision_model.vision_model.", "text_model.text_model."}) {
    if (starts_with(name, twice)) return name.substr(std::string_view(twice).size() / 2);
  }
  return name;
}

}  // namespace siglip_names

bool is_hf_siglip(const TensorMap& weights) {
  return weights.count("vision_model.head.probe") > 0 || weights.count("vision_model.vision_model.head.probe") > 0;
}

bool is_open_clip_siglip(const TensorMap& weights) { return weights.count("visual.trunk.attn_pool.latent") > 0; }

TensorMap siglip_from_hf(const TensorMap& weights) {
  TensorMap wanted;
  for (const auto& [name, tensor] : weights) {
    if (ends_with(name, ".position_ids")) continue;
    const std::string plain = siglip_names::unnested(name);
    if (!wanted.emplace(plain, tensor).second)
      fail("the tensor '", plain, "' is there twice, once with its tower's name doubled");
  }
  return right_to_left(wanted, siglip_names::rules, UnknownNames::keep);
}

TensorMap siglip_to_hf(const TensorMap& weights) {
  TensorMap out = with_context("HF's layout of SigLIP",
                               [&] { return left_to_right(weights, siglip_names::rules, UnknownNames::refuse); });
  for (const char* name : {"logit_scale", "logit_bias"}) {
    if (const auto it = out.find(name); it != out.end() && it->second.numel() == 1) it->second = it->second.reshape({1});
  }
  return out;
}

}  // namespace vlm
