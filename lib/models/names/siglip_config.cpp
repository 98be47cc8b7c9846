#include "vlm/models/names/siglip_config.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"

namespace vlm {

namespace siglip_config {

using Json = nlohmann::json;

struct Trunk {
  const char* size;  ///< as in timm's name: vit_SIZE_patch16_siglip_224
  int64_t width, layers, heads;
};
constexpr Trunk trunks[] = {
    {"base", 768, 12, 12}, {"large", 1024, 24, 16}, {"so400m", 1152, 27, 16}, {"giantopt", 1536, 40, 16}};

Json section(const Json& config, const char* key) {
  const Json part = config.value(key, Json::object());
  if (!part.is_object()) fail("the configuration's ", key, " is no section");
  return part;
}

int64_t whole(const Json& part, const char* key, int64_t otherwise) {
  if (!part.contains(key) || part[key].is_null()) return otherwise;
  if (!part[key].is_number_integer()) fail("the configuration's ", key, " must be a whole number");
  return part[key].get<int64_t>();
}

double real(const Json& part, const char* key, double otherwise) {
  if (!part.contains(key) || part[key].is_null()) return otherwise;
  if (!part[key].is_number()) fail("the configuration's ", key, " must be a number");
  return part[key].get<double>();
}

std::string text_of(const Json& part, const char* key, const std::string& otherwise) {
  return part.contains(key) && part[key].is_string() ? part[key].get<std::string>() : otherwise;
}

const Tensor& need(const TensorMap& weights, const std::string& name, int64_t dimensions) {
  const auto it = weights.find(name);
  if (it == weights.end()) fail("the weights have no '", name, "'");
  if (it->second.dim() != dimensions)
    fail("'", name, "' has shape ", it->second.sizes(), " where ", dimensions, " dimensions are expected");
  return it->second;
}

int64_t blocks_below(const TensorMap& weights, const std::string& prefix) {
  std::set<std::string> numbers;
  for (auto it = weights.lower_bound(prefix); it != weights.end() && starts_with(it->first, prefix); ++it) {
    numbers.insert(it->first.substr(prefix.size(), it->first.find('.', prefix.size()) - prefix.size()));
  }
  return static_cast<int64_t>(numbers.size());
}

}  // namespace siglip_config

nlohmann::ordered_json siglip_config_to_hf(const nlohmann::json& config, const TensorMap& weights) {
  using namespace siglip_config;
  const Json model = config.contains("model_cfg") ? section(config, "model_cfg") : config;
  const Json vision = section(model, "vision_cfg"), text = section(model, "text_cfg");
  const std::string name = text_of(vision, "timm_model_name", "");
  int64_t heads = 0;
  for (const Trunk& trunk : trunks) {
    if (starts_with(name, std::string("vit_") + trunk.size + "_")) heads = trunk.heads;
  }
  if (heads == 0 || name.find("siglip") == std::string::npos)
    fail("timm_model_name '", name, "' is no SigLIP tower that is known here");
  const Tensor& patches = need(weights, "visual.trunk.patch_embed.proj.weight", 4);
  if (patches.size(0) % heads != 0)
    fail("the weights have width ", patches.size(0), ", which ", name, " with its ", heads, " heads has not");
  const auto grid =
      static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(need(weights, "visual.trunk.pos_embed", 3).size(1)))));
  // Pictures may be a little larger than their patches: 384 pixels hold 27 patches of 14.
  const int64_t side = whole(vision, "image_size", grid * patches.size(3));
  const int64_t image_size = side / patches.size(3) == grid ? side : grid * patches.size(3);
  const int64_t width = whole(text, "width", 512);

  nlohmann::ordered_json out;
  out["architectures"] = {"SiglipModel"};
  out["model_type"] = "siglip";
  out["text_config"] = {{"model_type", "siglip_text_model"},
                        {"vocab_size", whole(text, "vocab_size", 49408)},
                        {"hidden_size", width},
                        {"intermediate_size", static_cast<int64_t>(static_cast<double>(width) * real(text, "mlp_ratio", 4))},
                        {"num_hidden_layers", whole(text, "layers", 12)},
                        {"num_attention_heads", whole(text, "heads", 8)},
                        {"max_position_embeddings", whole(text, "context_length", 77)},
                        {"projection_size", whole(model, "embed_dim", 768)},
                        {"hidden_act", "gelu_pytorch_tanh"},
                        {"layer_norm_eps", real(section(text, "norm_kwargs"), "eps", 1e-5)}};
  out["vision_config"] = {{"model_type", "siglip_vision_model"},
                          {"hidden_size", patches.size(0)},
                          {"intermediate_size", need(weights, "visual.trunk.blocks.0.mlp.fc1.weight", 2).size(0)},
                          {"num_hidden_layers", blocks_below(weights, "visual.trunk.blocks.")},
                          {"num_attention_heads", heads},
                          {"image_size", image_size},
                          {"patch_size", patches.size(3)},
                          {"hidden_act", "gelu_pytorch_tanh"},
                          {"layer_norm_eps", 1e-6}};
  return out;
}

nlohmann::ordered_json siglip_config_to_open_clip(const nlohmann::json& config) {
  using namespace siglip_config;
  const std::string type = text_of(config, "model_type", "siglip");
  if (type == "siglip2")
    fail("SigLIP 2 with patches of any number (model_type siglip2, NaFlex) is not supported; its models of fixed size are");
  const Json vision = section(config, "vision_config"), text = section(config, "text_config");
  const int64_t width = whole(vision, "hidden_size", 768), layers = whole(vision, "num_hidden_layers", 12);
  const int64_t patch = whole(vision, "patch_size", 16), image = whole(vision, "image_size", 224);
  const Trunk* trunk = nullptr;
  for (const Trunk& known : trunks) {
    if (known.width == width && known.layers == layers) trunk = &known;
  }
  if (!trunk)
    fail("open_clip names SigLIP's image towers as timm does, and timm has none of width ", width, " with ", layers,
         " layers");
  const int64_t vocabulary = whole(text, "vocab_size", 32000), text_width = whole(text, "hidden_size", 768),
                mlp = whole(text, "intermediate_size", 3072);
  const bool second = vocabulary == 256000;

  nlohmann::ordered_json out;
  out["embed_dim"] = width;
  out["init_logit_bias"] = -10;
  out["custom_text"] = true;
  out["vision_cfg"] = {{"image_size", image},
                       {"timm_model_name", concat("vit_", trunk->size, "_patch", patch, "_siglip_", image)},
                       {"timm_model_pretrained", false},
                       {"timm_pool", "map"},
                       {"timm_proj", "none"}};
  nlohmann::ordered_json t = {{"context_length", whole(text, "max_position_embeddings", 64)},
                              {"vocab_size", vocabulary},
                              {"hf_tokenizer_name", second ? "timm/ViT-B-16-SigLIP2" : "timm/ViT-B-16-SigLIP"}};
  if (!second) t["tokenizer_kwargs"] = {{"clean", "canonicalize"}};
  t["width"] = text_width;
  t["heads"] = whole(text, "num_attention_heads", 12);
  t["layers"] = whole(text, "num_hidden_layers", 12);
  if (mlp != 4 * text_width) {
    // The fewest digits that give the width of the MLP back exactly.
    const double ratio = (static_cast<double>(mlp) + 0.25) / static_cast<double>(text_width);
    for (double scale = 10; scale <= 1e9; scale *= 10) {
      const double rounded = std::round(ratio * scale) / scale;
      t["mlp_ratio"] = rounded;
      if (static_cast<int64_t>(static_cast<double>(text_width) * rounded) == mlp) break;
    }
  }
  t["no_causal_mask"] = true;
  t["proj_bias"] = true;
  t["pool_type"] = "last";
  t["norm_kwargs"] = {{"eps", real(text, "layer_norm_eps", 1e-6)}};
  if (text_of(text, "hidden_act", "gelu_pytorch_tanh") == "gelu_pytorch_tanh") t["act_kwargs"] = {{"approximate", "tanh"}};
  out["text_cfg"] = std::move(t);
  return out;
}

}  // namespace vlm
