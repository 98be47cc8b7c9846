#include "vlm/models/architectures.h"

#include <cctype>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"

namespace vlm {

namespace architectures {

using Json = nlohmann::ordered_json;

struct Vit {
  const char* name;
  int embed_dim, image_size, layers, width, patch_size, head_width;
  double mlp_ratio;
  int text_width, text_heads, text_layers;
};
constexpr Vit vits[] = {
    {"ViT-B-32", 512, 224, 12, 768, 32, 64, 4, 512, 8, 12},
    {"ViT-B-16", 512, 224, 12, 768, 16, 64, 4, 512, 8, 12},
    {"ViT-B-16-plus-240", 640, 240, 12, 896, 16, 64, 4, 640, 10, 12},
    {"ViT-L-14", 768, 224, 24, 1024, 14, 64, 4, 768, 12, 12},
    {"ViT-L-14-336", 768, 336, 24, 1024, 14, 64, 4, 768, 12, 12},
    {"ViT-H-14", 1024, 224, 32, 1280, 14, 80, 4, 1024, 16, 24},
    {"ViT-H-14-378", 1024, 378, 32, 1280, 14, 80, 4, 1024, 16, 24},
    {"ViT-g-14", 1024, 224, 40, 1408, 14, 88, 4.3637, 1024, 16, 24},
    {"ViT-bigG-14", 1280, 224, 48, 1664, 14, 104, 4.9231, 1280, 20, 32},
    {"ViT-L-14-CLIPA", 768, 224, 24, 1024, 14, 64, 4, 768, 12, 12},
    {"ViT-L-14-CLIPA-336", 768, 336, 24, 1024, 14, 64, 4, 768, 12, 12},
    {"coca_ViT-B-32", 512, 224, 12, 768, 32, 64, 4, 512, 8, 12},
    {"coca_ViT-L-14", 768, 224, 24, 1024, 14, 64, 4, 768, 12, 12},
};

struct ResNet {
  const char* name;
  int layers[4];
  int width, image_size, embed_dim, text_width, text_heads;
};
constexpr ResNet resnets[] = {
    {"RN50", {3, 4, 6, 3}, 64, 224, 1024, 512, 8},          {"RN101", {3, 4, 23, 3}, 64, 224, 512, 512, 8},
    {"RN50x4", {4, 6, 10, 6}, 80, 288, 640, 640, 10},       {"RN50x16", {6, 8, 18, 8}, 96, 384, 768, 768, 12},
    {"RN50x64", {3, 15, 36, 10}, 128, 448, 1024, 1024, 16},
};

struct Siglip {
  const char* name;
  const char* trunk;  ///< of timm
  int embed_dim, image_size, context_length, vocab_size, text_width, text_heads, text_layers;
  double text_mlp_ratio;
  int version;
};
constexpr Siglip siglips[] = {
    {"ViT-B-16-SigLIP", "vit_base_patch16_siglip_224", 768, 224, 64, 32000, 768, 12, 12, 4, 1},
    {"ViT-B-16-SigLIP-256", "vit_base_patch16_siglip_256", 768, 256, 64, 32000, 768, 12, 12, 4, 1},
    {"ViT-B-16-SigLIP-i18n-256", "vit_base_patch16_siglip_256", 768, 256, 64, 250000, 768, 12, 12, 4, 1},
    {"ViT-B-16-SigLIP-384", "vit_base_patch16_siglip_384", 768, 384, 64, 32000, 768, 12, 12, 4, 1},
    {"ViT-B-16-SigLIP-512", "vit_base_patch16_siglip_512", 768, 512, 64, 32000, 768, 12, 12, 4, 1},
    {"ViT-L-16-SigLIP-256", "vit_large_patch16_siglip_256", 1024, 256, 64, 32000, 1024, 16, 24, 4, 1},
    {"ViT-L-16-SigLIP-384", "vit_large_patch16_siglip_384", 1024, 384, 64, 32000, 1024, 16, 24, 4, 1},
    {"ViT-SO400M-14-SigLIP", "vit_so400m_patch14_siglip_224", 1152, 224, 16, 32000, 1152, 16, 27, 3.7362, 1},
    {"ViT-SO400M-14-SigLIP-378", "vit_so400m_patch14_siglip_378", 1152, 378, 64, 32000, 1152, 16, 27, 3.7362, 1},
    {"ViT-SO400M-14-SigLIP-384", "vit_so400m_patch14_siglip_384", 1152, 384, 64, 32000, 1152, 16, 27, 3.7362, 1},
    {"ViT-SO400M-16-SigLIP-i18n-256", "vit_so400m_patch16_siglip_256", 1152, 256, 64, 250000, 1152, 16, 27, 3.7362, 1},
    {"ViT-B-32-SigLIP2-256", "vit_base_patch32_siglip_256", 768, 256, 64, 256000, 768, 12, 12, 4, 2},
    {"ViT-B-16-SigLIP2", "vit_base_patch16_siglip_224", 768, 224, 64, 256000, 768, 12, 12, 4, 2},
    {"ViT-B-16-SigLIP2-256", "vit_base_patch16_siglip_256", 768, 256, 64, 256000, 768, 12, 12, 4, 2},
    {"ViT-B-16-SigLIP2-384", "vit_base_patch16_siglip_384", 768, 384, 64, 256000, 768, 12, 12, 4, 2},
    {"ViT-B-16-SigLIP2-512", "vit_base_patch16_siglip_512", 768, 512, 64, 256000, 768, 12, 12, 4, 2},
    {"ViT-L-16-SigLIP2-256", "vit_large_patch16_siglip_256", 1024, 256, 64, 256000, 1024, 16, 24, 4, 2},
    {"ViT-L-16-SigLIP2-384", "vit_large_patch16_siglip_384", 1024, 384, 64, 256000, 1024, 16, 24, 4, 2},
    {"ViT-L-16-SigLIP2-512", "vit_large_patch16_siglip_512", 1024, 512, 64, 256000, 1024, 16, 24, 4, 2},
    {"ViT-SO400M-14-SigLIP2", "vit_so400m_patch14_siglip_224", 1152, 224, 64, 256000, 1152, 16, 27, 3.7362, 2},
    {"ViT-SO400M-14-SigLIP2-378", "vit_so400m_patch14_siglip_378", 1152, 378, 64, 256000, 1152, 16, 27, 3.7362, 2},
    {"ViT-SO400M-16-SigLIP2-256", "vit_so400m_patch16_siglip_256", 1152, 256, 64, 256000, 1152, 16, 27, 3.7362, 2},
    {"ViT-SO400M-16-SigLIP2-384", "vit_so400m_patch16_siglip_384", 1152, 384, 64, 256000, 1152, 16, 27, 3.7362, 2},
    {"ViT-SO400M-16-SigLIP2-512", "vit_so400m_patch16_siglip_512", 1152, 512, 64, 256000, 1152, 16, 27, 3.7362, 2},
    {"ViT-gopt-16-SigLIP2-256", "vit_giantopt_patch16_siglip_256", 1536, 256, 64, 256000, 1152, 16, 27, 3.7362, 2},
    {"ViT-gopt-16-SigLIP2-384", "vit_giantopt_patch16_siglip_384", 1536, 384, 64, 256000, 1152, 16, 27, 3.7362, 2},
};

constexpr const char* quick = "-quickgelu";

Json text_cfg(int context, int vocab, int width, int heads, int layers) {
  return {{"context_length", context}, {"vocab_size", vocab}, {"width", width}, {"heads", heads}, {"layers", layers}};
}

Json of_vit(const Vit& vit) {
  const std::string name = vit.name;
  Json vision = {
      {"image_size", vit.image_size}, {"layers", vit.layers}, {"width", vit.width}, {"patch_size", vit.patch_size}};
  Json text = text_cfg(77, 49408, vit.text_width, vit.text_heads, vit.text_layers);
  if (vit.head_width != 64) vision["head_width"] = vit.head_width;
  if (vit.mlp_ratio != 4) vision["mlp_ratio"] = vit.mlp_ratio;
  if (name.find("-CLIPA") != std::string::npos) {
    vision["no_ln_pre"] = true;
    vision["final_ln_after_pool"] = true;
    vision["pool_type"] = "avg";
    text["context_length"] = 32;
    text["vocab_size"] = 32000;
    text["hf_tokenizer_name"] = "bert-base-uncased";
    text["tokenizer_kwargs"] = {{"strip_sep_token", true}};
    text["pool_type"] = "last";
    text["no_causal_mask"] = true;
  }
  const bool coca = starts_with(name, "coca_");
  if (coca) {
    vision["attentional_pool"] = true;
    vision["attn_pooler_heads"] = 8;
    vision["output_tokens"] = true;
    text["context_length"] = 76;
    text["embed_cls"] = true;
    text["output_tokens"] = true;
  }
  Json cfg;
  cfg["embed_dim"] = vit.embed_dim;
  cfg["vision_cfg"] = std::move(vision);
  cfg["text_cfg"] = std::move(text);
  if (coca) {
    Json decoder = text_cfg(76, 49408, vit.text_width, vit.text_heads, 12);
    decoder["attn_pooler_heads"] = vit.text_heads;
    cfg["multimodal_cfg"] = std::move(decoder);
    cfg["custom_text"] = true;
  }
  return cfg;
}

Json of_resnet(const ResNet& net) {
  return {{"embed_dim", net.embed_dim},
          {"vision_cfg",
           {{"image_size", net.image_size}, {"layers", net.layers}, {"width", net.width}, {"patch_size", nullptr}}},
          {"text_cfg", text_cfg(77, 49408, net.text_width, net.text_heads, 12)}};
}

Json of_siglip(const Siglip& siglip) {
  Json cfg;
  cfg["embed_dim"] = siglip.embed_dim;
  cfg["init_logit_bias"] = -10;
  cfg["custom_text"] = true;
  cfg["vision_cfg"] = {{"image_size", siglip.image_size},
                       {"timm_model_name", siglip.trunk},
                       {"timm_model_pretrained", false},
                       {"timm_pool", "map"},
                       {"timm_proj", "none"}};
  Json text = text_cfg(siglip.context_length, siglip.vocab_size, siglip.text_width, siglip.text_heads, siglip.text_layers);
  text["hf_tokenizer_name"] = std::string("timm/") + siglip.name;
  if (siglip.version == 1) text["tokenizer_kwargs"] = {{"clean", "canonicalize"}};
  if (siglip.text_mlp_ratio != 4) text["mlp_ratio"] = siglip.text_mlp_ratio;
  text["no_causal_mask"] = true;
  text["proj_bias"] = true;
  text["pool_type"] = "last";
  text["norm_kwargs"] = {{"eps", 1e-6}};
  if (siglip.version == 2) text["act_kwargs"] = {{"approximate", "tanh"}};
  cfg["text_cfg"] = std::move(text);
  return cfg;
}

Json preprocess(bool siglip, const Json& image_size) {
  Json out;
  out["size"] = image_size;
  if (siglip) {
    out["mean"] = {0.5, 0.5, 0.5};
    out["std"] = {0.5, 0.5, 0.5};
    out["interpolation"] = "bicubic";
    out["resize_mode"] = "squash";
  } else {
    out["mean"] = {0.48145466, 0.4578275, 0.40821073};
    out["std"] = {0.26862954, 0.26130258, 0.27577711};
    out["interpolation"] = "bicubic";
    out["resize_mode"] = "shortest";
  }
  return out;
}

bool has_quick_twin(const std::string& name) {
  return name.find("CLIPA") == std::string::npos && name.find("SigLIP") == std::string::npos && !starts_with(name, "coca_");
}

std::map<std::string, Json> all() {
  std::map<std::string, Json> out;
  for (const auto& vit : vits) out[vit.name] = of_vit(vit);
  for (const auto& net : resnets) out[net.name] = of_resnet(net);
  for (const auto& siglip : siglips) out[siglip.name] = of_siglip(siglip);
  return out;
}

/// OpenAI writes ViT-L/14@336px.
std::string plain_name(std::string name) {
  for (char& c : name) {
    if (c == '/' || c == '@') c = '-';
  }
  if (ends_with(name, "px")) name.resize(name.size() - 2);
  return name;
}

int64_t blocks_below(const TensorMap& weights, const std::string& prefix) {
  std::set<std::string> numbers;
  for (auto it = weights.lower_bound(prefix); it != weights.end() && starts_with(it->first, prefix); ++it) {
    const std::string rest = it->first.substr(prefix.size());
    numbers.insert(rest.substr(0, rest.find('.')));
  }
  return static_cast<int64_t>(numbers.size());
}

const Tensor& need(const TensorMap& weights, const std::string& name, int64_t dimensions) {
  const auto it = weights.find(name);
  if (it == weights.end())
    fail("the weights have no '", name, "', so they are no CLIP model of OpenAI's layout; name the architecture (--arch)");
  if (it->second.dim() != dimensions)
    fail("'", name, "' has shape ", it->second.sizes(), " where ", dimensions, " dimensions are expected");
  return it->second;
}

/// The side of a square grid with so many positions beside the first.
int64_t grid_side(const std::string& name, int64_t rows) {
  const auto side = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(std::max<int64_t>(rows - 1, 0)))));
  if (side < 1 || side * side != rows - 1)
    fail("'", name, "' has ", rows, " rows, which is no square and one; name the architecture (--arch)");
  return side;
}

}  // namespace architectures

nlohmann::ordered_json open_clip_architecture(const std::string& given) {
  static const auto table = architectures::all();
  std::string name = architectures::plain_name(given);
  const bool quick = ends_with(name, architectures::quick);
  if (quick) name.resize(name.size() - std::string_view(architectures::quick).size());
  const auto it = table.find(name);
  if (it == table.end() || (quick && !architectures::has_quick_twin(name))) {
    const auto names = open_clip_architectures();
    fail_usage("unknown architecture '", given, "'", did_you_mean(architectures::plain_name(given), names),
               "; there are: ", join(names, ", "));
  }
  nlohmann::ordered_json out;
  out["model_cfg"] = it->second;
  if (quick) out["model_cfg"]["quick_gelu"] = true;
  out["preprocess_cfg"] =
      architectures::preprocess(name.find("SigLIP") != std::string::npos, it->second["vision_cfg"]["image_size"]);
  return out;
}

std::vector<std::string> open_clip_architectures() {
  std::vector<std::string> out;
  for (const auto& [name, cfg] : architectures::all()) {
    out.push_back(name);
    if (architectures::has_quick_twin(name)) out.push_back(name + architectures::quick);
  }
  return out;
}

nlohmann::ordered_json architecture_of_weights(const TensorMap& weights) {
  using namespace architectures;
  if (weights.count("visual.trunk.attn_pool.latent"))
    fail("weights of SigLIP do not say how many heads they have; name the architecture (--arch ViT-B-16-SigLIP …)");
  if (weights.count("text_decoder.cross_attn.0.ln_1.weight"))
    fail("weights of CoCa do not say how many heads they have; name the architecture (--arch coca_ViT-L-14 …)");
  Json vision;
  if (weights.count("visual.proj")) {
    const Tensor& conv = need(weights, "visual.conv1.weight", 4);
    const int64_t patch = conv.size(3);
    vision["image_size"] =
        patch * grid_side("visual.positional_embedding", need(weights, "visual.positional_embedding", 2).size(0));
    vision["layers"] = blocks_below(weights, "visual.transformer.resblocks.");
    vision["width"] = conv.size(0);
    vision["patch_size"] = patch;
  } else {
    const int64_t side =
        grid_side("visual.attnpool.positional_embedding", need(weights, "visual.attnpool.positional_embedding", 2).size(0));
    vision["image_size"] = 32 * side;
    vision["layers"] = Json::array();
    for (int stage = 1; stage <= 4; ++stage)
      vision["layers"].push_back(blocks_below(weights, concat("visual.layer", stage, ".")));
    vision["width"] = need(weights, "visual.layer1.0.conv1.weight", 4).size(0);
    vision["patch_size"] = nullptr;
  }
  const int64_t width = need(weights, "ln_final.weight", 1).size(0);
  if (width < 64) fail("'ln_final.weight' has ", width, " numbers, less than a head of 64; name the architecture (--arch)");
  Json text;
  text["context_length"] = need(weights, "positional_embedding", 2).size(0);
  text["vocab_size"] = need(weights, "token_embedding.weight", 2).size(0);
  text["width"] = width;
  text["heads"] = width / 64;
  text["layers"] = blocks_below(weights, "transformer.resblocks.");
  const Json image_size = vision["image_size"];
  Json out;
  out["model_cfg"] = {{"embed_dim", need(weights, "text_projection", 2).size(1)},
                      {"quick_gelu", true},
                      {"vision_cfg", std::move(vision)},
                      {"text_cfg", std::move(text)}};
  out["preprocess_cfg"] = preprocess(false, image_size);
  return out;
}

bool look_like_openai_weights(const TensorMap& weights) {
  if (weights.count("input_resolution") && weights.count("context_length")) return true;
  const auto it = weights.find("visual.conv1.weight");
  return it != weights.end() && it->second.scalar_type() == at::kHalf && weights.count("text_projection") > 0;
}

}  // namespace vlm
