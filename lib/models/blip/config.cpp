#include "vlm/models/blip/config.h"

#include <nlohmann/json.hpp>

#include "vlm/core/error.h"
#include "vlm/models/hf_config.h"

namespace vlm {

namespace blip_config {

struct Head {
  const char* architecture;
  const char* name;
};

constexpr Head heads[] = {{"BlipForConditionalGeneration", "caption"}, {"BlipForQuestionAnswering", "vqa"}, {"BlipForImageTextRetrieval", "retrieval"}};

Activation activation(const HfConfig& part) {
  const std::string act = part.text("hidden_act", "gelu");
  if (act == "gelu") return Activation::gelu;
  if (act == "gelu_pytorch_tanh" || act == "gelu_new") return Activation::gelu_tanh;
  if (act == "quick_gelu") return Activation::quick_gelu;
  fail(part.name(), ": hidden_act '", act, "' is not known; gelu, gelu_new, gelu_pytorch_tanh or quick_gelu");
}

const char* name_of(Activation activation) {
  switch (activation) {
    case Activation::gelu_tanh: return "gelu_pytorch_tanh";
    case Activation::quick_gelu: return "quick_gelu";
    case Activation::gelu: break;
  }
  return "gelu";
}

}  // namespace blip_config

BlipConfig BlipConfig::from_hf(const std::string& json, const std::string& name) {
  const HfConfig root(json, name);
  const std::string type = root.text("model_type", "blip");
  if (type != "blip") fail(name, ": model_type is '", type, "', not blip");
  const HfConfig text = root.part("text_config"), vision = root.part("vision_config");
  BlipConfig c;
  c.vision = {.width = vision.size("hidden_size", 768), .intermediate = vision.size("intermediate_size", 3072),
              .layers = vision.size("num_hidden_layers", 12), .heads = vision.size("num_attention_heads", 12),
              .image_size = vision.size("image_size", 384), .patch_size = vision.size("patch_size", 16),
              .eps = vision.number("layer_norm_eps", 1e-5), .activation = blip_config::activation(vision)};
  // Eight heads are the default of the class; the released files say 12.
  c.text = {.vocab_size = text.size("vocab_size", 30524), .width = text.size("hidden_size", 768), .intermediate = text.size("intermediate_size", 3072),
            .layers = text.size("num_hidden_layers", 12), .heads = text.size("num_attention_heads", 8),
            .positions = text.size("max_position_embeddings", 512), .encoder_width = text.size("encoder_hidden_size", 768),
            .cross_attention = text.flag("is_decoder", true), .eps = text.number("layer_norm_eps", 1e-12),
            .activation = blip_config::activation(text)};
  c.bos = text.integer("bos_token_id", 30522);
  c.sep = text.integer("sep_token_id", 102);
  c.pad = text.integer("pad_token_id", 0);
  c.label_smoothing = text.number("label_smoothing", 0);
  c.joint_width = root.size("image_text_hidden_size", 256);
  const auto architectures = root.json().find("architectures");
  if (architectures != root.json().end() && architectures->is_array() && !architectures->empty() && architectures->front().is_string()) {
    for (const auto& head : blip_config::heads) {
      if (architectures->front() == head.architecture) c.head = head.name;
    }
  }
  return c;
}

nlohmann::ordered_json BlipConfig::to_hf() const {
  nlohmann::ordered_json out;
  for (const auto& known : blip_config::heads) {
    if (head == known.name) out["architectures"] = {known.architecture};
  }
  out["model_type"] = "blip";
  out["image_text_hidden_size"] = joint_width;
  out["projection_dim"] = 512;
  out["logit_scale_init_value"] = 2.6592;
  out["text_config"] = {{"model_type", "blip_text_model"}, {"vocab_size", text.vocab_size}, {"hidden_size", text.width},
                        {"encoder_hidden_size", text.encoder_width}, {"intermediate_size", text.intermediate},
                        {"num_hidden_layers", text.layers}, {"num_attention_heads", text.heads}, {"max_position_embeddings", text.positions},
                        {"hidden_act", blip_config::name_of(text.activation)}, {"layer_norm_eps", text.eps}, {"is_decoder", text.cross_attention},
                        {"bos_token_id", bos}, {"sep_token_id", sep}, {"pad_token_id", pad}, {"label_smoothing", label_smoothing}};
  out["vision_config"] = {{"model_type", "blip_vision_model"}, {"hidden_size", vision.width}, {"intermediate_size", vision.intermediate},
                          {"num_hidden_layers", vision.layers}, {"num_attention_heads", vision.heads}, {"image_size", vision.image_size},
                          {"patch_size", vision.patch_size}, {"hidden_act", blip_config::name_of(vision.activation)},
                          {"layer_norm_eps", vision.eps}};
  return out;
}

}  // namespace vlm
