#include "vlm/models/siglip/config.h"

#include <nlohmann/json.hpp>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/models/hf_config.h"

namespace vlm {

namespace siglip_config {

struct Released {
  const char* name;
  int64_t width, layers, heads, mlp_width;
};

constexpr Released towers[] = {
    {"base", 768, 12, 12, 3072}, {"large", 1024, 24, 16, 4096}, {"so400m", 1152, 27, 16, 4304}, {"giantopt", 1536, 40, 16, 6144}};

/// A ratio such that int(width * ratio) gives back the width of the MLP exactly.
double mlp_ratio(int64_t mlp_width, int64_t width) { return (static_cast<double>(mlp_width) + 0.25) / static_cast<double>(width); }

std::string activation(const HfConfig& part) {
  const std::string act = part.text("hidden_act", "gelu_pytorch_tanh");
  if (act == "gelu_pytorch_tanh" || act == "gelu_new") return "tanh";
  if (act == "gelu") return "none";
  fail(part.name(), ": hidden_act '", act, "' is not known for SigLIP; gelu_pytorch_tanh or gelu");
}

}  // namespace siglip_config

SiglipVisionSizes siglip_sizes(const std::string& timm_model_name) {
  const std::string name = timm_model_name.substr(0, timm_model_name.find('.'));
  const auto parts = split(name, "_");  // vit, base, patch16, siglip, 224
  if (parts.size() == 5 && parts[0] == "vit" && parts[3] == "siglip" && starts_with(parts[2], "patch")) {
    const std::string patch = parts[2].substr(5);
    for (const auto& tower : siglip_config::towers) {
      if (parts[1] != tower.name || patch.empty() || patch.size() > 2 || patch.find_first_not_of("0123456789") != std::string::npos) continue;
      return {.width = tower.width, .layers = tower.layers, .heads = tower.heads, .patch_size = std::stoll(patch), .mlp_width = tower.mlp_width};
    }
  }
  fail_usage("model configuration: timm_model_name = '", timm_model_name,
             "' is not supported; of timm's towers only vit_{base,large,so400m,giantopt}_patchN_siglip_N are");
}

std::string siglip_tower_name(const SiglipVisionSizes& sizes, int64_t image_size) {
  for (const auto& tower : siglip_config::towers) {
    if (sizes.width == tower.width && sizes.layers == tower.layers && sizes.heads == tower.heads && sizes.mlp_width == tower.mlp_width) {
      return std::string("vit_") + tower.name + "_patch" + std::to_string(sizes.patch_size) + "_siglip_" + std::to_string(image_size);
    }
  }
  return "";
}

ClipConfig siglip_from_hf(const std::string& json, const std::string& name) {
  const HfConfig root(json, name);
  const HfConfig text = root.part("text_config"), vision = root.part("vision_config");
  if (!vision.flag("vision_use_head", true)) fail(vision.name(), ": vision_use_head must be true for a model with two towers");
  ClipConfig c;
  c.custom_text = true;
  c.nonscalar_logit_scale = true;
  c.init_logit_scale = 2.302585092994046;  // ln 10
  c.init_logit_bias = -10;

  auto& v = c.vision_cfg;
  v.siglip_tower = true;
  v.siglip = {.width = vision.size("hidden_size", 768), .layers = vision.size("num_hidden_layers", 12), .heads = vision.size("num_attention_heads", 12),
              .patch_size = vision.size("patch_size", 16), .mlp_width = vision.size("intermediate_size", 3072),
              .approximate = siglip_config::activation(vision), .eps = vision.number("layer_norm_eps", 1e-6)};
  v.image_size = {vision.size("image_size", 224)};

  auto& t = c.text_cfg;
  t.vocab_size = text.size("vocab_size", 32000);
  t.width = text.size("hidden_size", 768);
  t.layers = text.size("num_hidden_layers", 12);
  t.heads = text.size("num_attention_heads", 12);
  t.context_length = text.size("max_position_embeddings", 64);
  t.mlp_ratio = siglip_config::mlp_ratio(text.size("intermediate_size", 3072), t.width);
  t.norm_kwargs.eps = text.number("layer_norm_eps", 1e-6);
  t.act_kwargs.approximate = siglip_config::activation(text);
  t.no_causal_mask = true;
  t.proj_bias = true;
  t.pool_type = "last";
  c.embed_dim = text.size("projection_size", t.width);
  if (c.embed_dim != v.siglip.width) {
    fail(name, ": the text tower projects to ", c.embed_dim, " but the image tower gives ", v.siglip.width);
  }
  return c;
}

nlohmann::ordered_json siglip_to_hf(const ClipConfig& config) {
  const auto& v = config.vision_cfg;
  const auto& t = config.text_cfg;
  const auto act = [](const std::string& approximate) { return approximate == "tanh" ? "gelu_pytorch_tanh" : "gelu"; };
  if (!v.siglip_tower || v.image_size.front() != v.image_size.back() || !t.no_causal_mask || !t.proj_bias || t.pool_type != "last" || t.custom() ||
      t.ls_init_value != 0 || t.embed_cls || config.has_multimodal) {
    fail("this model has parts that HF's SiglipModel does not know; write it in open_clip's layout");
  }
  nlohmann::ordered_json out;
  out["architectures"] = {"SiglipModel"};
  out["model_type"] = "siglip";
  out["text_config"] = {{"model_type", "siglip_text_model"}, {"vocab_size", t.vocab_size}, {"hidden_size", t.width},
                        {"intermediate_size", static_cast<int64_t>(static_cast<double>(t.width) * t.mlp_ratio)},
                        {"num_hidden_layers", t.layers}, {"num_attention_heads", t.heads}, {"max_position_embeddings", t.context_length},
                        {"hidden_act", act(t.act_kwargs.approximate)}, {"layer_norm_eps", t.norm_kwargs.eps}, {"projection_size", config.embed_dim}};
  out["vision_config"] = {{"model_type", "siglip_vision_model"}, {"hidden_size", v.siglip.width}, {"intermediate_size", v.siglip.mlp_width},
                          {"num_hidden_layers", v.siglip.layers}, {"num_attention_heads", v.siglip.heads}, {"image_size", v.image_size.front()},
                          {"patch_size", v.siglip.patch_size}, {"hidden_act", act(v.siglip.approximate)}, {"layer_norm_eps", v.siglip.eps},
                          {"vision_use_head", true}};
  return out;
}

}  // namespace vlm
