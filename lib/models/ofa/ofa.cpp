#include "vlm/models/ofa/ofa.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "vlm/core/error.h"
#include "vlm/models/layers/fast_linear.h"
#include "vlm/models/ofa/decoder.h"
#include "vlm/models/ofa/encoder.h"

namespace vlm {

double OfaExitThresholds::at_step(int64_t step) const {
  if (longest <= 0 || decoder > 1) return decoder;
  const auto t = static_cast<double>(step), all = static_cast<double>(longest + 1);
  return t < all / 3 ? 1.0 : 0.9 * decoder + 0.1 * std::exp(-(t + 1) / all);
}

OfaModel::OfaModel(const OfaConfig& config) : config_(config) {
  encoder = register_module("encoder", std::make_shared<OfaEncoder>(config));
  decoder = register_module("decoder", std::make_shared<OfaDecoder>(config));
  init_transformer(*this, config.init_std);
  {
    at::NoGradGuard no_grad;
    encoder->embed_tokens->weight[config.pad].zero_();
  }
  torch::nn::Module::train(false);
}

std::vector<NamedTensor> OfaModel::trainable() const { return module_parameters(*this); }

nlohmann::ordered_json OfaModel::config() const { return config_.hf_gap().empty() ? config_.to_hf() : config_.to_fairseq(); }

std::pair<int64_t, int64_t> OfaModel::picture_size() const {
  const int64_t side = config_.patch_image_size > 0 ? config_.patch_image_size : config_.width >= 768 ? 480 : 384;
  return {side, side};
}

GenerationTokens OfaModel::generation_tokens() const {
  return {.begin = config_.bos, .end = config_.eos, .pad = config_.pad, .max_length = config_.max_target_positions};
}

InstructionVocabulary OfaModel::instruction_vocabulary() const {
  InstructionVocabulary out;
  out.size = config_.vocab_size;
  out.unknown = config_.unk;
  out.first_code = config_.first_code();
  out.codes = config_.num_codes;
  out.first_bin = config_.first_bin();
  out.bins = config_.num_bins;
  out.mask = out.first_code - 1;
  return out;
}

std::shared_ptr<OfaEncoded> OfaModel::encode(const Instruction& instruction) const {
  return config_.mue ? encoder->forward_apart(instruction, thresholds_, exit_layers_) : encoder->forward(instruction);
}

std::unique_ptr<DecoderState> OfaModel::begin_reply(std::shared_ptr<const EncodedInstruction> encoded) {
  auto own = std::dynamic_pointer_cast<const OfaEncoded>(std::move(encoded));
  if (!own) fail("these states are of another model than OFA");
  return std::make_unique<OfaReplyState>(*this, std::move(own), config_.mue ? thresholds_ : OfaExitThresholds{});
}

namespace ofa_model {

OfaDecoder::Call whole_reply(const OfaDecoder& decoder, const OfaContext& context, const OfaConfig& config, const Tensor& previous) {
  OfaDecoder::Call call;
  call.previous = previous;
  const Tensor padding = previous.eq(config.pad);
  if (padding.any().item<bool>()) call.key_mask = padding;
  if (!context.all_codes) call.text = decoder.position_terms(false, previous.size(1));
  if (context.codes.defined()) call.code = decoder.position_terms(true, previous.size(1));
  call.prefixes = decoder.prefixes();
  return call;
}

const OfaEncoded& own(const EncodedInstruction& encoded) {
  const auto* out = dynamic_cast<const OfaEncoded*>(&encoded);
  if (!out) fail("these states are of another model than OFA");
  return *out;
}

}  // namespace ofa_model

Tensor OfaModel::reply_logits(const EncodedInstruction& encoded, const Tensor& previous) {
  const OfaContext context = decoder->look_at(ofa_model::own(encoded));
  OfaDecoder::Call call = ofa_model::whole_reply(*decoder, context, config_, previous);
  if (config_.mue && !is_training()) call.exit_threshold = thresholds_.decoder;
  return fast_linear(decoder->forward(context, embeddings(), call, exit_layers_[2]), embeddings(), {});  // [R, T, V]
}

std::vector<Tensor> OfaModel::layer_logits(const EncodedInstruction& encoded, const Tensor& previous) const {
  const OfaContext context = decoder->look_at(ofa_model::own(encoded));
  OfaDecoder::Call call = ofa_model::whole_reply(*decoder, context, config_, previous);
  std::vector<Tensor> outputs, logits;
  call.layer_outputs = &outputs;
  decoder->forward(context, embeddings(), call, exit_layers_[2]);
  for (const auto& x : outputs) logits.push_back(fast_linear(x, embeddings(), {}));
  return logits;
}

const Tensor& OfaModel::embeddings() const { return encoder->embed_tokens->weight; }

}  // namespace vlm
