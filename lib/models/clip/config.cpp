#include "vlm/models/clip/config.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "vlm/core/config_json.h"
#include "vlm/core/error.h"
#include "vlm/models/hf_config.h"
#include "vlm/models/siglip/config.h"

namespace vlm {

namespace clip_config {

/// Keys that choose towers of other libraries: named, so that the message can be exact.
void refuse(Fields& f, const char* key, const char* what) {
  std::string value;
  f.field(key, value, what);
  if (!value.empty() && value != "0" && value != "false") fail("model configuration: ", key, " = '", value, "' is not supported (", what, ")");
}

/// Keys that say how someone else builds or loads the model; they change no result here.
void pass_over(Fields& f, const char* key) {
  Config ignored;
  f.field(key, ignored, "passed over");
}

}  // namespace clip_config

void VisionConfig::fields(Fields& f) {
  f.field("image_size", image_size, "side of the pictures, or [height, width]");
  f.field("layers", layers, "number of blocks; four counts make a ResNet");
  f.field("width", width, "width of the blocks");
  f.field("head_width", head_width, "width of an attention head");
  f.field("patch_size", patch_size, "side of a patch in pixels");
  f.field("patch_dropout", patch_dropout, "share of patches left out in training");
  f.field("attentional_pool", attentional_pool, "false, true, parallel or cascade");
  f.field("attn_pooler_queries", attn_pooler_queries, "queries of the attentional pooler");
  f.field("attn_pooler_heads", attn_pooler_heads, "heads of the attentional pooler");
  f.field("no_ln_pre", no_ln_pre, "no LayerNorm before the blocks");
  f.field("pos_embed_type", pos_embed_type, "learnable or sin_cos_2d");
  f.field("pool_type", pool_type, "tok (class token), avg (mean of the patches) or ggem");
  f.field("ggem_groups", ggem_groups, "groups of channels of GGeM pooling; 0: as many as heads");
  f.field("ggem_p_init", ggem_p_init, "start of GGeM's exponents");
  f.field("ggem_eps", ggem_eps, "least activation that GGeM sees");
  f.field("final_ln_after_pool", final_ln_after_pool, "the last LayerNorm comes after pooling");
  f.field("output_tokens", output_tokens, "also give the patch tokens");
  BlockOptions::fields(f);
  if (!f.reading()) return;
  if (layers.size() != 1 && layers.size() != 4) fail_usage("vision_cfg.layers must be one number (a vision transformer) or four (a ResNet)");
  std::string timm, pool = "map", projection = "none";
  f.field("timm_model_name", timm, "an image tower of timm: SigLIP's");
  f.field("timm_pool", pool, "map");
  f.field("timm_proj", projection, "none");
  for (const char* key : {"timm_model_pretrained", "timm_proj_bias", "timm_drop", "timm_drop_path"}) clip_config::pass_over(f, key);
  if (timm.empty()) return;
  siglip = siglip_sizes(timm);
  siglip_tower = true;
  if (pool != "map" || (projection != "none" && !projection.empty())) {
    fail_usage("model configuration: SigLIP's tower needs timm_pool: map and timm_proj: none, not ", pool, " and ", projection);
  }
}

void TextConfig::fields(Fields& f) {
  f.field("context_length", context_length, "ids in a row");
  f.field("vocab_size", vocab_size, "ids of the tokenizer");
  f.field("width", width, "width of the blocks");
  f.field("heads", heads, "attention heads");
  f.field("layers", layers, "number of blocks");
  f.field("embed_cls", embed_cls, "a class token after the text (CoCa)");
  f.field("pad_id", pad_id, "id of padding");
  f.field("eos_id", eos_id, "id that ends a text, for pool_type eos");
  f.field("no_causal_mask", no_causal_mask, "every position sees every other");
  f.field("pool_type", pool_type, "argmax, eos, first or last");
  f.field("proj_type", proj_type, "linear or none");
  f.field("proj_bias", proj_bias, "the projection has a bias");
  f.field("output_tokens", output_tokens, "also give the token states");
  f.field("final_ln_after_pool", final_ln_after_pool, "the last LayerNorm comes after pooling");
  BlockOptions::fields(f);
  if (!f.reading()) return;
  clip_config::refuse(f, "hf_model_name", "text towers of transformers are not built yet");
  for (const char* key : {"hf_tokenizer_name", "tokenizer_mode", "tokenizer_kwargs", "hf_model_pretrained", "hf_proj_type", "hf_pooler_type"}) {
    clip_config::pass_over(f, key);
  }
}

void MultimodalConfig::fields(Fields& f) {
  f.field("context_length", context_length, "ids in a row");
  f.field("vocab_size", vocab_size, "ids of the tokenizer");
  f.field("width", width, "width of the blocks");
  f.field("heads", heads, "attention heads");
  f.field("layers", layers, "number of blocks, each followed by one of cross attention");
  BlockOptions::fields(f);
  if (!f.reading()) return;
  for (const char* key : {"attn_pooler_heads", "dim_head", "n_queries"}) clip_config::pass_over(f, key);
}

void ClipConfig::fields(Fields& f) {
  f.field("embed_dim", embed_dim, "width of the common space");
  f.field("quick_gelu", quick_gelu, "x * sigmoid(1.702 x) instead of GELU (all OpenAI weights)");
  f.field("custom_text", custom_text, "text weights lie under 'text.'");
  f.field("init_logit_scale", init_logit_scale, "start of the logarithm of the temperature");
  f.field("init_logit_bias", init_logit_bias, "start of the bias of the logits; none: no bias");
  f.field("nonscalar_logit_scale", nonscalar_logit_scale, "logit_scale has shape [1]");
  f.field("independent_features", independent_features, "one more linear layer on what each tower pools, for the term 'separation'");
  f.field("vision_cfg", vision_cfg, "image tower");
  f.field("text_cfg", text_cfg, "text tower");
  if (f.reading()) {
    Config multimodal;
    f.field("multimodal_cfg", multimodal, "decoder of a CoCa");
    has_multimodal = !multimodal.empty();
    if (has_multimodal) multimodal.read(multimodal_cfg);
    clip_config::pass_over(f, "output_dict");
  }
  vision_cfg.quick_gelu = text_cfg.quick_gelu = multimodal_cfg.quick_gelu = quick_gelu;
}

ClipConfig ClipConfig::from_open_clip(const std::string& json, const std::string& name) {
  Config file = Config::parse(json, name);
  if (file.has("model_cfg")) file = file.section("model_cfg");
  ClipConfig config;
  file.read(config);
  return config;
}

ClipConfig ClipConfig::from_hf(const std::string& json, const std::string& name) {
  const HfConfig root(json, name);
  const std::string type = root.text("model_type", "clip");
  if (type == "siglip") return siglip_from_hf(json, name);
  if (type != "clip") fail(name, ": model_type is '", type, "', not clip or siglip");
  const HfConfig text = root.part("text_config"), vision = root.part("vision_config");
  ClipConfig c;
  c.embed_dim = root.size("projection_dim", 512);
  c.init_logit_scale = root.number("logit_scale_init_value", 2.6592);
  const std::string text_act = text.text("hidden_act", "quick_gelu"), vision_act = vision.text("hidden_act", "quick_gelu");
  for (const auto& act : {text_act, vision_act}) {
    if (act != "quick_gelu" && act != "gelu") fail(name, ": hidden_act '", act, "' is not known for CLIP; quick_gelu or gelu");
  }
  c.quick_gelu = vision_act == "quick_gelu";

  auto& v = c.vision_cfg;
  v.width = vision.size("hidden_size", 768);
  v.layers = {vision.size("num_hidden_layers", 12)};
  v.head_width = v.width / vision.size("num_attention_heads", 12);
  v.image_size = {vision.size("image_size", 224)};
  v.patch_size = vision.size("patch_size", 32);
  // A ratio such that int(width * ratio) gives back the width of the MLP exactly.
  v.mlp_ratio = (static_cast<double>(vision.size("intermediate_size", 3072)) + 0.25) / static_cast<double>(v.width);
  v.norm_kwargs.eps = vision.number("layer_norm_eps", 1e-5);
  v.quick_gelu = vision_act == "quick_gelu";

  auto& t = c.text_cfg;
  t.vocab_size = text.size("vocab_size", 49408);
  t.width = text.size("hidden_size", 512);
  t.layers = text.size("num_hidden_layers", 12);
  t.heads = text.size("num_attention_heads", 8);
  t.context_length = text.size("max_position_embeddings", 77);
  t.mlp_ratio = (static_cast<double>(text.size("intermediate_size", 2048)) + 0.25) / static_cast<double>(t.width);
  t.norm_kwargs.eps = text.number("layer_norm_eps", 1e-5);
  t.eos_id = text.integer("eos_token_id", 49407);
  // Configurations of 2021 to 2023 say 2, which is wrong: those models take the largest id.
  t.pool_type = t.eos_id == 2 ? "argmax" : "eos";
  t.quick_gelu = text_act == "quick_gelu";
  return c;
}

namespace clip_config {

/// Takes out what equals the defaults, except the sizes that a reader wants to see.
nlohmann::ordered_json without_defaults(const nlohmann::ordered_json& full, const nlohmann::ordered_json& defaults) {
  static const std::vector<std::string> kept = {"embed_dim", "image_size", "layers", "width", "patch_size", "context_length", "vocab_size", "heads"};
  auto out = nlohmann::ordered_json::object();
  for (const auto& [key, value] : full.items()) {
    if (value.is_object()) {
      auto inner = without_defaults(value, defaults.at(key));
      if (!inner.empty()) out[key] = std::move(inner);
    } else if (std::find(kept.begin(), kept.end(), key) != kept.end() || value != defaults.at(key)) {
      out[key] = value;
    }
  }
  return out;
}

}  // namespace clip_config

nlohmann::ordered_json ClipConfig::to_open_clip() const {
  auto out = clip_config::without_defaults(to_json(*this), to_json(ClipConfig{}));
  // No comparison with the default, which is no number, says that a bias is another one.
  out.erase("init_logit_bias");
  if (!std::isnan(init_logit_bias)) out["init_logit_bias"] = init_logit_bias;
  auto& vision = out["vision_cfg"];
  if (vision_cfg.image_size.size() == 1) vision["image_size"] = vision_cfg.image_size[0];
  if (vision_cfg.attentional_pool == "true") vision["attentional_pool"] = true;
  if (vision_cfg.layers.size() == 1) vision["layers"] = vision_cfg.layers[0];
  if (vision_cfg.siglip_tower) {
    const std::string tower = siglip_tower_name(vision_cfg.siglip, vision_cfg.image_height());
    if (tower.empty()) fail("open_clip's layout has no name for an image tower of these sizes; write the model in HF's layout");
    const auto size = vision.at("image_size");
    vision = {{"image_size", size}, {"timm_model_name", tower}, {"timm_model_pretrained", false}, {"timm_pool", "map"}, {"timm_proj", "none"}};
  }
  if (has_multimodal) out["multimodal_cfg"] = clip_config::without_defaults(to_json(multimodal_cfg), to_json(MultimodalConfig{}));
  return out;
}

nlohmann::ordered_json ClipConfig::to_hf() const {
  if (is_siglip()) return siglip_to_hf(*this);
  const VisionConfig& v = vision_cfg;
  const TextConfig& t = text_cfg;
  const auto plain = [](const BlockOptions& block) { return !block.custom() && block.ls_init_value == 0 && block.act_kwargs.approximate == "none"; };
  if (!plain(v) || !plain(t) || v.attentional_pool != "false" || v.no_ln_pre || v.final_ln_after_pool || v.pool_type != "tok" ||
      v.is_resnet() || v.image_size.front() != v.image_size.back() || has_multimodal || t.embed_cls || t.no_causal_mask || t.proj_type != "linear" || t.proj_bias ||
      (t.pool_type != "argmax" && t.pool_type != "eos") || !std::isnan(init_logit_bias) || independent_features) {
    fail("this CLIP model has parts that HF's CLIPModel does not know; write it in open_clip's layout");
  }
  if (t.pool_type == "eos" && t.eos_id == 2) {
    fail("HF's CLIPModel takes the largest id of a text where eos_token_id is 2, this model the first id 2; write it in open_clip's layout");
  }
  const char* act = quick_gelu ? "quick_gelu" : "gelu";
  nlohmann::ordered_json out;
  out["architectures"] = {"CLIPModel"};
  out["model_type"] = "clip";
  out["projection_dim"] = embed_dim;
  out["logit_scale_init_value"] = init_logit_scale;
  out["text_config"] = {{"model_type", "clip_text_model"}, {"vocab_size", t.vocab_size}, {"hidden_size", t.width},
                        {"intermediate_size", static_cast<int64_t>(static_cast<double>(t.width) * t.mlp_ratio)},
                        {"num_hidden_layers", t.layers}, {"num_attention_heads", t.heads}, {"max_position_embeddings", t.context_length},
                        {"hidden_act", act}, {"layer_norm_eps", t.norm_kwargs.eps}, {"projection_dim", embed_dim},
                        {"eos_token_id", t.pool_type == "argmax" ? 2 : t.eos_id}};
  out["vision_config"] = {{"model_type", "clip_vision_model"}, {"hidden_size", v.width},
                          {"intermediate_size", static_cast<int64_t>(static_cast<double>(v.width) * v.mlp_ratio)},
                          {"num_hidden_layers", v.depth()}, {"num_attention_heads", v.width / v.head_width}, {"image_size", v.image_size.front()},
                          {"patch_size", v.patch_size}, {"hidden_act", act}, {"layer_norm_eps", v.norm_kwargs.eps}, {"projection_dim", embed_dim}};
  return out;
}

}  // namespace vlm
