#include "vlm/models/clip/names.h"

#include <ATen/ops/cat.h>

#include <vector>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"

namespace vlm {

namespace clip_names {

struct Rule {
  const char* open_clip;
  const char* hf;
};

/// Whole names, and prefixes where both end in a dot.
constexpr Rule rules[] = {
    {"logit_scale", "logit_scale"},
    {"visual.class_embedding", "vision_model.embeddings.class_embedding"},
    {"visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight"},
    {"visual.positional_embedding", "vision_model.embeddings.position_embedding.weight"},
    {"visual.ln_pre.", "vision_model.pre_layrnorm."},
    {"visual.ln_post.", "vision_model.post_layernorm."},
    {"visual.transformer.resblocks.", "vision_model.encoder.layers."},
    {"token_embedding.weight", "text_model.embeddings.token_embedding.weight"},
    {"positional_embedding", "text_model.embeddings.position_embedding.weight"},
    {"ln_final.", "text_model.final_layer_norm."},
    {"transformer.resblocks.", "text_model.encoder.layers."},
};
/// Inside a block, after its number.
constexpr Rule block_rules[] = {
    {"attn.out_proj.", "self_attn.out_proj."}, {"ln_1.", "layer_norm1."}, {"ln_2.", "layer_norm2."},
    {"mlp.c_fc.", "mlp.fc1."},                 {"mlp.c_proj.", "mlp.fc2."},
};
constexpr Rule projections[] = {{"visual.proj", "visual_projection.weight"}, {"text_projection", "text_projection.weight"}};

bool take_prefix(std::string_view& name, std::string_view prefix) {
  if (!starts_with(name, prefix)) return false;
  name.remove_prefix(prefix.size());
  return true;
}

/// The name in the other layout, or "" if no rule fits.
std::string translate(std::string_view name, const char* Rule::*from, const char* Rule::*to) {
  for (const Rule& rule : rules) {
    const std::string_view prefix = rule.*from;
    if (prefix.back() != '.') {
      if (name == prefix) return rule.*to;
      continue;
    }
    std::string_view rest = name;
    if (!take_prefix(rest, prefix)) continue;
    const bool block = ends_with(prefix, "resblocks.") || ends_with(prefix, "layers.");
    if (!block) return std::string(rule.*to) + std::string(rest);
    const size_t dot = rest.find('.');
    if (dot == std::string_view::npos) return "";
    const std::string number(rest.substr(0, dot + 1));
    rest.remove_prefix(dot + 1);
    for (const Rule& inner : block_rules) {
      std::string_view tail = rest;
      if (take_prefix(tail, inner.*from)) return std::string(rule.*to) + number + inner.*to + std::string(tail);
    }
    return "";
  }
  return "";
}

}  // namespace clip_names

bool is_hf_clip(const TensorMap& weights) {
  return weights.count("vision_model.embeddings.patch_embedding.weight") > 0 && weights.count("visual_projection.weight") > 0;
}

TensorMap clip_from_hf(const TensorMap& weights) {
  using namespace clip_names;
  TensorMap out;
  std::map<std::string, std::vector<Tensor>> joined;  // name of in_proj -> q, k, v
  for (const auto& [name, tensor] : weights) {
    if (ends_with(name, ".position_ids")) continue;
    bool done = false;
    for (const Rule& rule : projections) {
      if (name == rule.hf) out[rule.open_clip] = tensor.t().contiguous(), done = true;
    }
    for (size_t i = 0; i < 3 && !done; ++i) {
      const std::string part = concat(".self_attn.", "qkv"[i], "_proj.");
      const size_t at = name.find(part);
      if (at == std::string::npos) continue;
      // "….layers.3" and "weight": any rule of the block gives the block's own prefix.
      const std::string probe = translate(name.substr(0, at) + ".layer_norm1.x", &Rule::hf, &Rule::open_clip);
      if (probe.empty()) continue;
      auto& parts = joined[probe.substr(0, probe.size() - std::string("ln_1.x").size()) + "attn.in_proj_" + name.substr(at + part.size())];
      parts.resize(3);
      parts[i] = tensor;
      done = true;
    }
    if (done) continue;
    const std::string translated = translate(name, &Rule::hf, &Rule::open_clip);
    out[translated.empty() ? name : translated] = tensor;
  }
  for (const auto& [name, parts] : joined) {
    bool whole = true;
    for (const auto& part : parts) whole = whole && part.defined() && part.dim() > 0;
    if (whole) out[name] = at::cat(parts, 0);
  }
  return out;
}

TensorMap clip_to_hf(const TensorMap& weights) {
  using namespace clip_names;
  TensorMap out;
  for (const auto& [full_name, tensor] : weights) {
    const std::string name = starts_with(full_name, "text.") ? full_name.substr(5) : full_name;
    bool done = false;
    for (const Rule& rule : projections) {
      if (name == rule.open_clip) out[rule.hf] = tensor.t().contiguous(), done = true;
    }
    const size_t at = name.find(".attn.in_proj_");
    if (!done && at != std::string::npos) {
      const std::string probe = translate(name.substr(0, at) + ".ln_1.x", &Rule::open_clip, &Rule::hf);
      const std::string layer = probe.substr(0, probe.size() - std::string("layer_norm1.x").size());
      const std::string kind = name.substr(at + std::string(".attn.in_proj_").size());
      const auto parts = tensor.chunk(3, 0);
      for (size_t i = 0; i < 3; ++i) out[concat(layer, "self_attn.", "qkv"[i], "_proj.", kind)] = parts[i].contiguous();
      done = true;
    }
    if (done) continue;
    const std::string translated = translate(name, &Rule::open_clip, &Rule::hf);
    if (translated.empty()) fail("the HF layout of CLIP has no place for '", full_name, "'");
    out[translated] = tensor;
  }
  return out;
}

TensorMap normalize_open_clip(const TensorMap& weights, bool custom_text) {
  TensorMap out;
  for (const auto& [full_name, tensor] : weights) {
    std::string_view name = full_name;
    clip_names::take_prefix(name, "module.");
    clip_names::take_prefix(name, "_orig_mod.");
    if (name == "input_resolution" || name == "context_length" || name == "vocab_size") continue;
    if (name == "text.transformer.embeddings.position_ids") continue;
    std::string plain(name);
    bool text = false;
    for (const char* start : {"text_projection", "positional_embedding", "token_embedding", "transformer", "ln_final", "cls_emb"}) {
      text = text || starts_with(plain, start);
    }
    if (custom_text && text) plain = "text." + plain;
    if (!custom_text && starts_with(plain, "text.")) plain = plain.substr(5);
    out[plain] = tensor;
  }
  return out;
}

}  // namespace vlm
