#include "vlm/models/clip/names.h"

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/models/names/name_rules.h"

namespace vlm {

namespace clip_names {

constexpr NameRule rules[] = {
    {"logit_scale", "logit_scale"},
    {"visual.proj", "visual_projection.weight", NameAction::transposed},
    {"text_projection", "text_projection.weight", NameAction::transposed},
    {"visual.class_embedding", "vision_model.embeddings.class_embedding"},
    {"visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight"},
    {"visual.positional_embedding", "vision_model.embeddings.position_embedding.weight"},
    {"visual.ln_pre.*", "vision_model.pre_layrnorm.*"},  // HF's name is misspelt for good
    {"visual.ln_post.*", "vision_model.post_layernorm.*"},
    {"visual.transformer.resblocks.#.attn.in_proj_*", "vision_model.encoder.layers.#.self_attn.?_proj.*",
     NameAction::left_fused},
    {"visual.transformer.resblocks.#.attn.out_proj.*", "vision_model.encoder.layers.#.self_attn.out_proj.*"},
    {"visual.transformer.resblocks.#.ln_1.*", "vision_model.encoder.layers.#.layer_norm1.*"},
    {"visual.transformer.resblocks.#.ln_2.*", "vision_model.encoder.layers.#.layer_norm2.*"},
    {"visual.transformer.resblocks.#.mlp.c_fc.*", "vision_model.encoder.layers.#.mlp.fc1.*"},
    {"visual.transformer.resblocks.#.mlp.c_proj.*", "vision_model.encoder.layers.#.mlp.fc2.*"},
    {"token_embedding.weight", "text_model.embeddings.token_embedding.weight"},
    {"positional_embedding", "text_model.embeddings.position_embedding.weight"},
    {"ln_final.*", "text_model.final_layer_norm.*"},
    {"transformer.resblocks.#.attn.in_proj_*", "text_model.encoder.layers.#.self_attn.?_proj.*", NameAction::left_fused},
    {"transformer.resblocks.#.attn.out_proj.*", "text_model.encoder.layers.#.self_attn.out_proj.*"},
    {"transformer.resblocks.#.ln_1.*", "text_model.encoder.layers.#.layer_norm1.*"},
    {"transformer.resblocks.#.ln_2.*", "text_model.encoder.layers.#.layer_norm2.*"},
    {"transformer.resblocks.#.mlp.c_fc.*", "text_model.encoder.layers.#.mlp.fc1.*"},
    {"transformer.resblocks.#.mlp.c_proj.*", "text_model.encoder.layers.#.mlp.fc2.*"},
};

bool is_flat_text(std::string_view name) {
  for (const char* start : {"text_projection", "positional_embedding", "token_embedding", "transformer", "ln_final"}) {
    if (starts_with(name, start)) return true;
  }
  return false;
}

bool take_prefix(std::string_view& name, std::string_view prefix) {
  if (!starts_with(name, prefix)) return false;
  name.remove_prefix(prefix.size());
  return true;
}

/// Tensors that say something about the model, and buffers that other versions wrote; no model has a place for them.
bool is_remark(std::string_view name) {
  return name == "input_resolution" || name == "context_length" || name == "vocab_size" ||
         name == "text.transformer.embeddings.position_ids";
}

}  // namespace clip_names

bool is_hf_clip(const TensorMap& weights) {
  return weights.count("vision_model.embeddings.patch_embedding.weight") > 0 &&
         weights.count("visual_projection.weight") > 0;
}

TensorMap clip_from_hf(const TensorMap& weights) {
  TensorMap wanted;
  for (const auto& [name, tensor] : weights) {
    if (!ends_with(name, ".position_ids")) wanted.emplace(name, tensor);
  }
  return right_to_left(wanted, clip_names::rules, UnknownNames::keep);
}

TensorMap clip_to_hf(const TensorMap& weights) {
  TensorMap wanted;
  for (const auto& [name, tensor] : clip_from_custom_text(weights)) {
    if (!clip_names::is_remark(name)) wanted.emplace(name, tensor);
  }
  return with_context("HF's layout of CLIP", [&] { return left_to_right(wanted, clip_names::rules, UnknownNames::refuse); });
}

TensorMap clip_to_custom_text(const TensorMap& weights) {
  if (!weights.count("text_projection")) return weights;
  TensorMap out;
  for (const auto& [name, tensor] : weights) out.emplace(clip_names::is_flat_text(name) ? "text." + name : name, tensor);
  return out;
}

TensorMap clip_from_custom_text(const TensorMap& weights) {
  TensorMap out;
  for (const auto& [name, tensor] : weights) {
    const std::string plain = starts_with(name, "text.") ? name.substr(5) : name;
    if (!out.emplace(plain, tensor).second) fail("both 'text.", plain, "' and '", plain, "' are there");
  }
  return out;
}

TensorMap normalize_open_clip(const TensorMap& weights, bool custom_text) {
  TensorMap out;
  for (const auto& [full_name, tensor] : weights) {
    std::string_view name = full_name;
    clip_names::take_prefix(name, "module.");
    clip_names::take_prefix(name, "_orig_mod.");
    if (clip_names::is_remark(name)) continue;
    std::string plain(name);
    if (custom_text && (clip_names::is_flat_text(plain) || starts_with(plain, "cls_emb"))) plain = "text." + plain;
    if (!custom_text && starts_with(plain, "text.")) plain = plain.substr(5);
    out[plain] = tensor;
  }
  return out;
}

}  // namespace vlm
