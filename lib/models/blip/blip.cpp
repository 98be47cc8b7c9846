#include "vlm/models/blip/blip.h"

#include <ATen/ops/ones.h>
#include <ATen/ops/softmax.h>

#include <nlohmann/json.hpp>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"

namespace vlm {

BlipModel::BlipModel(const BlipConfig& config, const char* head) : config_(config) {
  config_.head = head;
  vision_model = register_module("vision_model", std::make_shared<BlipVision>(config.vision));
}

nlohmann::ordered_json BlipModel::config() const { return config_.to_hf(); }

namespace blip {

GenerationTokens tokens(const BlipConfig& config) {
  return {.begin = config.bos, .end = config.sep, .pad = config.pad, .max_length = config.text.positions};
}

void check_width(const BlipConfig& config) {
  if (config.text.cross_attention && config.text.encoder_width != config.vision.width) {
    fail("BLIP's text_config.encoder_hidden_size (", config.text.encoder_width, ") must be the width of the image tower (", config.vision.width, ")");
  }
}

}  // namespace blip

BlipCaptioner::BlipCaptioner(const BlipConfig& config) : BlipModel(config, "caption") {
  blip::check_width(config);
  text_decoder = register_module("text_decoder", std::make_shared<BertLanguageModel>(config.text));
  torch::nn::Module::train(false);
}

Tensor blip_prompt(const Tensor& ids, const GenerationTokens& tokens) {
  if (ids.dim() != 2 || ids.size(1) < 2) fail("a prompt of BLIP needs its opening and closing ids, [B, L] with L of at least 2, not ", ids.sizes());
  const Tensor prompt = ids.slice(1, 0, -1).clone();
  prompt.select(1, 0).fill_(tokens.begin);
  return prompt;
}

GenerationTokens BlipCaptioner::generation_tokens() const { return blip::tokens(config_); }

BlipAnswerer::BlipAnswerer(const BlipConfig& config) : BlipModel(config, "vqa") {
  blip::check_width(config);
  if (config.text.encoder_width != config.text.width) {
    fail("BLIP's text_config.hidden_size (", config.text.width, ") must equal encoder_hidden_size (", config.text.encoder_width,
         ") for question answering: the answer looks at the question's states");
  }
  text_encoder = register_module("text_encoder", std::make_shared<BertModel>(config.text));
  text_decoder = register_module("text_decoder", std::make_shared<BertLanguageModel>(config.text));
  torch::nn::Module::train(false);
}

Tensor BlipAnswerer::encode_question(const Tensor& image, const Tensor& question, const Tensor& mask) const {
  return text_encoder->forward(question, additive_key_mask(mask), image);
}

std::unique_ptr<DecoderState> BlipAnswerer::begin_answer(const Tensor& pixels, const Tensor& question, const Tensor& mask) {
  // Padding of the question stays visible to the answer, as in the reference (specs: clip, 5.3).
  return text_decoder->begin(encode_question(encode_image(pixels), question, mask));
}

Tensor BlipAnswerer::answer_logits(const AnswerBatch& batch) {
  const Tensor states = encode_question(encode_image(batch.pixels), batch.question, batch.question_mask);  // [B, Lq, D]
  const Tensor mask = batch.mask_question_padding ? batch.question_mask.index_select(0, batch.row) : Tensor();
  return text_decoder->forward(batch.answer, batch.answer_mask, states.index_select(0, batch.row), mask);  // [N, La, V]
}

GenerationTokens BlipAnswerer::generation_tokens() const { return blip::tokens(config_); }

BlipRetriever::BlipRetriever(const BlipConfig& config) : BlipModel(config, "retrieval") {
  blip::check_width(config);
  text_encoder = register_module("text_encoder", std::make_shared<BertModel>(config.text));
  vision_proj = register_module("vision_proj", std::make_shared<Linear>(config.vision.width, config.joint_width));
  text_proj = register_module("text_proj", std::make_shared<Linear>(config.text.width, config.joint_width));
  itm_head = register_module("itm_head", std::make_shared<Linear>(config.text.width, 2));
  torch::nn::Module::train(false);
}

Tensor BlipRetriever::encode_text(const Tensor& ids, const Tensor& mask) const { return text_encoder->forward(ids, additive_key_mask(mask)); }

std::pair<Tensor, Tensor> BlipRetriever::match_states(const Tensor& image, const Tensor& ids, const Tensor& mask, AttentionTrace* trace) const {
  const Tensor states = text_encoder->forward(ids, additive_key_mask(mask), image, {}, trace);  // [B, L, D]
  return {itm_head->forward(states.select(1, 0)), states};
}

Tensor BlipRetriever::match(const Tensor& pixels, const Tensor& ids, const Tensor& mask) {
  return at::softmax(match_states(encode_image(pixels), ids, mask).first, 1).select(1, 1);
}

Tensor BlipRetriever::logit_scale() const { return at::ones({}); }

std::unique_ptr<BlipModel> make_blip(BlipConfig config, const TensorMap& weights) {
  if (config.head.empty()) {
    const auto holds = [&](const char* prefix) {
      const auto it = weights.lower_bound(prefix);
      return it != weights.end() && starts_with(it->first, prefix);
    };
    config.head = holds("text_decoder.") ? (holds("text_encoder.") ? "vqa" : "caption") : holds("itm_head.") ? "retrieval" : "";
  }
  if (config.head == "caption") return std::make_unique<BlipCaptioner>(config);
  if (config.head == "vqa") return std::make_unique<BlipAnswerer>(config);
  if (config.head == "retrieval") return std::make_unique<BlipRetriever>(config);
  fail("this BLIP model is neither for captioning, nor for question answering, nor for retrieval: it has no text_decoder.* and no itm_head.*");
}

}  // namespace vlm
