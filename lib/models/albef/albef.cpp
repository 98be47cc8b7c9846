#include "vlm/models/albef/albef.h"

#include <ATen/ops/full.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>

#include <nlohmann/json.hpp>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"

namespace vlm {

AlbefModel::AlbefModel(const AlbefConfig& config, AlbefTask task) : config_(config) {
  config_.task = task;
  if (task != AlbefTask::pretrain && task != AlbefTask::retrieval) {
    config_.queue_size = config_.codebook_size = 0;
    config_.idx_queue = config_.independent_features = false;
  }
  std::tie(online_.visual_encoder, momentum_.visual_encoder) = add<TimmVision>("visual_encoder", config_.vision);
}

void AlbefModel::add_text_encoder() {
  if (config_.text.encoder_width != config_.vision.width) {
    fail("ALBEF's bert_config.encoder_width (", config_.text.encoder_width, ") must be vision_width (", config_.vision.width, ")");
  }
  if (config_.task != AlbefTask::pretrain) {
    std::tie(online_.text_encoder, momentum_.text_encoder) = add<BertModel>("text_encoder", config_.encoder_options());
    return;
  }
  std::tie(online_.language_model, momentum_.language_model) = add<BertLanguageModel>("text_encoder", config_.encoder_options());
  online_.text_encoder = online_.language_model->bert;
  if (config_.momentum) momentum_.text_encoder = momentum_.language_model->bert;
}

void AlbefModel::add_projections() {
  std::tie(online_.vision_proj, momentum_.vision_proj) = add<Linear>("vision_proj", config_.vision.width, config_.embed_dim);
  std::tie(online_.text_proj, momentum_.text_proj) = add<Linear>("text_proj", config_.text.width, config_.embed_dim);
}

std::vector<NamedTensor> AlbefModel::trainable() const {
  auto out = without_second_names(module_parameters(*this));
  std::erase_if(out, [](const NamedTensor& entry) { return is_momentum_name(entry.name); });
  return out;
}

std::vector<MomentumTensors> AlbefModel::momentum_tensors() const {
  std::vector<MomentumTensors> out;
  for (const auto& [online, copy] : copies_) {
    for (auto& pair : paired_parameters(*online, *copy)) out.push_back(std::move(pair));
  }
  return out;
}

const AlbefEncoders& AlbefModel::momentum() const {
  if (!has_momentum()) fail("this ALBEF model has no momentum copies (visual_encoder_m.* …), which its losses need");
  return momentum_;
}

nlohmann::ordered_json AlbefModel::config() const { return config_.to_json(); }

namespace albef {

Tensor unit_columns(int64_t rows, int64_t columns) {
  Tensor out = at::zeros({rows, columns});
  init_normal(out, 1.0);
  return out / at::linalg_vector_norm(out, 2, at::IntArrayRef{0}, true).clamp_min(1e-12);
}

/// Contexts of the pictures of a sentence, whose tokens lie picture by picture: [n B, N, W].
std::vector<BertContext> contexts(const Tensor& tokens, int64_t pictures) {
  std::vector<BertContext> out;
  for (const auto& of_picture : tokens.chunk(pictures)) out.emplace_back(of_picture);
  return out;
}

}  // namespace albef

AlbefAligner::AlbefAligner(const AlbefConfig& config)
    : AlbefModel(config, config.task == AlbefTask::pretrain ? AlbefTask::pretrain : AlbefTask::retrieval) {
  const int64_t d = config_.embed_dim, q = config_.queue_size;
  add_text_encoder();
  add_projections();
  itm_head = register_module("itm_head", std::make_shared<Linear>(config_.text.width, 2));
  temp = register_parameter("temp", at::full({}, config_.temp));
  if (config_.independent_features) {
    vision_proj_ind = register_module("vision_proj_ind", std::make_shared<Linear>(config_.vision.width, d));
    text_proj_ind = register_module("text_proj_ind", std::make_shared<Linear>(config_.text.width, d));
  }
  if (config_.codebook_size > 0) codebook = register_parameter("codebook", albef::unit_columns(d, config_.codebook_size).t().contiguous());
  if (q > 0) {
    image_queue = register_buffer("image_queue", albef::unit_columns(d, q));
    text_queue = register_buffer("text_queue", albef::unit_columns(d, q));
    if (config_.idx_queue) idx_queue = register_buffer("idx_queue", at::full({1, q}, -100, at::kLong));
    queue_ptr = register_buffer("queue_ptr", at::zeros({1}, at::kLong));
  }
  torch::nn::Module::train(false);
}

Tensor AlbefAligner::pair_logits(const Tensor& image, const Tensor& text, const Tensor& mask, AttentionTrace* trace) const {
  return pair_logits(BertContext(image), text, mask, trace);
}

Tensor AlbefAligner::pair_logits(const BertContext& pictures, const Tensor& text, const Tensor& mask, AttentionTrace* trace) const {
  return itm_head->forward(online_.text_encoder->fuse(text, mask, {pictures}, trace).select(1, 0));
}

std::vector<int64_t> AlbefAligner::looking_layers() const { return online_.text_encoder->looking_layers(); }

Tensor AlbefAligner::match(const Tensor& pixels, const Tensor& ids, const Tensor& mask) {
  return at::softmax(pair_logits(encode_image(pixels), encode_text(ids, mask), mask), 1).select(1, 1);
}

Tensor AlbefAligner::logit_scale() const { return temp.reciprocal(); }

void AlbefAligner::clamp_temperature() {
  const at::NoGradGuard no_grad;
  temp.clamp_(0.001, 0.5);
}

AlbefAnswerer::AlbefAnswerer(const AlbefConfig& config) : AlbefModel(config, AlbefTask::vqa) {
  add_text_encoder();
  std::tie(text_decoder, text_decoder_m) = add<BertLanguageModel>("text_decoder", config_.decoder_options());
  torch::nn::Module::train(false);
}

Tensor AlbefAnswerer::encode_question(const AlbefEncoders& encoders, const Tensor& pixels, const Tensor& question,
                                      const Tensor& mask) const {
  return encoders.text_encoder->encode_pair(question, mask, {BertContext(encoders.visual_encoder->forward(pixels))});
}

std::unique_ptr<DecoderState> AlbefAnswerer::begin_answer(const Tensor& pixels, const Tensor& question, const Tensor& mask) {
  return text_decoder->begin(encode_question(online_, pixels, question, mask), mask);
}

GenerationTokens AlbefAnswerer::generation_tokens() const {
  return {.begin = config_.cls, .end = config_.sep, .pad = config_.pad, .max_length = config_.text.positions};
}

Tensor AlbefAnswerer::logits_of(const AlbefEncoders& encoders, const BertLanguageModel& decoder, const AnswerBatch& batch) const {
  const Tensor states = encode_question(encoders, batch.pixels, batch.question, batch.question_mask);            // [B, Lq, D]
  const Tensor mask = batch.question_mask.defined() ? batch.question_mask.index_select(0, batch.row) : Tensor();
  return decoder.forward(batch.answer, batch.answer_mask, states.index_select(0, batch.row), mask);               // [N, La, V]
}

Tensor AlbefAnswerer::answer_logits(const AnswerBatch& batch) { return logits_of(online_, *text_decoder, batch); }

Tensor AlbefAnswerer::momentum_answer_logits(const AnswerBatch& batch) const {
  const at::NoGradGuard no_grad;
  return logits_of(momentum(), *text_decoder_m, batch);
}

AlbefClassifierHead::AlbefClassifierHead(int64_t width, int64_t classes) {
  hidden_ = register_module("0", std::make_shared<Linear>(width, width));
  out_ = register_module("2", std::make_shared<Linear>(width, classes));
}

Tensor AlbefClassifierHead::forward(const Tensor& x) const { return out_->forward(at::relu(hidden_->forward(x))); }

AlbefClassifier::AlbefClassifier(const AlbefConfig& config)
    : AlbefModel(config, config.task == AlbefTask::nlvr ? AlbefTask::nlvr : AlbefTask::entailment) {
  add_text_encoder();
  std::tie(cls_head, cls_head_m) = add<AlbefClassifierHead>("cls_head", config_.text.width, classes());
  torch::nn::Module::train(false);
}

Tensor AlbefClassifier::logits_of(const AlbefEncoders& encoders, const AlbefClassifierHead& head, const Tensor& pixels, const Tensor& ids,
                                  const Tensor& mask) const {
  if (pixels.size(0) != pictures() * ids.size(0)) {
    fail(ids.size(0), " sentences need ", pictures() * ids.size(0), " pictures, not ", pixels.size(0));
  }
  const auto contexts = albef::contexts(encoders.visual_encoder->forward(pixels), pictures());
  return head.forward(encoders.text_encoder->encode_pair(ids, mask, contexts).select(1, 0));  // [B, classes]
}

Tensor AlbefClassifier::logits(const Tensor& pixels, const Tensor& ids, const Tensor& mask) const {
  return logits_of(online_, *cls_head, pixels, ids, mask);
}

Tensor AlbefClassifier::momentum_logits(const Tensor& pixels, const Tensor& ids, const Tensor& mask) const {
  const at::NoGradGuard no_grad;
  return logits_of(momentum(), *cls_head_m, pixels, ids, mask);
}

namespace albef {

AlbefConfig without_momentum(AlbefConfig config) {
  config.momentum = false;
  return config;
}

}  // namespace albef

AlbefTextAssigner::AlbefTextAssigner(const AlbefConfig& config) : AlbefModel(albef::without_momentum(config), AlbefTask::text_assignment) {
  add_text_encoder();
  add_projections();
  ta_head = register_module("ta_head", std::make_shared<Linear>(config_.text.width, 3));
  temp = register_parameter("temp", at::full({}, config_.temp), /*requires_grad=*/false);
  torch::nn::Module::train(false);
}

std::vector<NamedTensor> AlbefTextAssigner::trainable() const {
  auto out = AlbefModel::trainable();
  std::erase_if(out, [](const NamedTensor& entry) {
    return starts_with(entry.name, "vision_proj.") || starts_with(entry.name, "text_proj.") || entry.name == "temp";
  });
  return out;
}

Tensor AlbefTextAssigner::logits(const Tensor& image, const Tensor& first, const Tensor& second, const Tensor& ids,
                                 const Tensor& mask) const {
  const std::vector<BertContext> contexts = {BertContext(image, {}, first), BertContext(image, {}, second)};
  return ta_head->forward(online_.text_encoder->encode_pair(ids, mask, contexts).select(1, 0));  // [B, 3]
}

std::unique_ptr<AlbefModel> make_albef(const AlbefConfig& config) {
  switch (config.task) {
    case AlbefTask::vqa: return std::make_unique<AlbefAnswerer>(config);
    case AlbefTask::entailment:
    case AlbefTask::nlvr: return std::make_unique<AlbefClassifier>(config);
    case AlbefTask::text_assignment: return std::make_unique<AlbefTextAssigner>(config);
    case AlbefTask::pretrain:
    case AlbefTask::retrieval: break;
  }
  return std::make_unique<AlbefAligner>(config);
}

}  // namespace vlm
