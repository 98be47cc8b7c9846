#include "vlm/models/mplug/mplug.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <nlohmann/json.hpp>

#include "vlm/core/error.h"
#include "vlm/models/mplug/classifier.h"
#include "vlm/models/mplug/grounder.h"

namespace vlm {

MplugModel::MplugModel(const MplugConfig& config, MplugTask task) : config_(config) {
  config_.task = task;
  config_.task_known = true;
  config_.distill = false;
  networks = MplugNetworks(*this, config_, "");
  if (networks.vision_proj) {
    itm_head = register_module("itm_head", std::make_shared<Linear>(config.hidden_size, 2));
    temp = register_parameter("temp", at::full({}, config.temp));
  }
  if (config.distill) add_copies();
  torch::nn::Module::train(false);
}

void MplugModel::add_copies() {
  if (has_copies()) return;
  config_.distill = true;
  copies = MplugNetworks(*this, config_, "_m");
  const auto from = networks.followed(), to = copies.followed();
  for (size_t i = 0; i < from.size(); ++i) become_momentum_copy(*to[i], *from[i]);
  // In the reference both fusion encoders begin from the same layers of BERT.
  if (networks.fusion_lm) {
    become_momentum_copy(*copies.fusion_lm, *networks.fusion_lm);
  } else if (networks.fusion_encoder) {
    become_momentum_copy(*copies.fusion_encoder, *networks.fusion_encoder);
  }
  if (networks.vision_proj) {
    const auto queue = [&] {
      Tensor rows = at::zeros({config_.queue_size, config_.embed_dim});
      init_normal(rows, 1);
      return normalize(rows).t().contiguous();
    };
    image_queue = register_buffer("image_queue", queue());
    text_queue = register_buffer("text_queue", queue());
    if (config_.task == MplugTask::retrieval) idx_queue = register_buffer("idx_queue", at::full({1, config_.queue_size}, -100, at::kLong));
    queue_ptr = register_buffer("queue_ptr", at::zeros({1}, at::kLong));
  }
  if (const auto device = networks.visual_encoder->visual->class_embedding.device(); !device.is_cpu()) torch::nn::Module::to(device);
  torch::nn::Module::train(is_training());
}

nlohmann::ordered_json MplugModel::config() const { return config_.to_json(); }

std::vector<NamedTensor> MplugModel::trainable() const {
  auto out = module_parameters(*this);
  std::erase_if(out, [](const NamedTensor& entry) { return is_momentum_name(entry.name); });
  return out;
}

std::vector<MomentumTensors> MplugModel::momentum_tensors() const {
  std::vector<MomentumTensors> out;
  if (!has_copies()) return out;
  const auto from = networks.followed(), to = copies.followed();
  for (size_t i = 0; i < from.size(); ++i) {
    const auto pairs = paired_parameters(*from[i], *to[i]);
    out.insert(out.end(), pairs.begin(), pairs.end());
  }
  return out;
}

BertContext MplugModel::read(const Tensor& image, const Tensor& ids, const Tensor& mask) const {
  BertContext out;
  out.states = fuse(image, networks.encode_text(ids, mask), mask).states();                       // [B, P + L, H]
  if (mask.defined()) out.mask = at::cat({at::ones({image.size(0), image.size(1)}, mask.options()), mask}, 1);
  return out;
}

void MplugModel::clamp_temperature() {
  const at::NoGradGuard no_grad;
  temp.clamp_(0.001, 0.5);
}

GenerationTokens MplugModel::tokens() const { return {.begin = config_.cls, .end = config_.sep, .pad = config_.pad, .max_length = config_.positions}; }

MplugCaptioner::MplugCaptioner(const MplugConfig& config, MplugTask task) : MplugModel(config, task) {}

UsualSearch MplugCaptioner::usual_caption_search() const {
  // A model that was not tuned to captions says in its configuration how long answers are.
  const bool own = config_.task == MplugTask::caption;
  return {.rules = "mplug", .beams = config_.beam_size, .min_new_tokens = own ? config_.min_length : 8, .max_new_tokens = own ? config_.max_length : 25, .length_penalty = 0.6};
}

Tensor MplugCaptioner::video_prompt() const {
  const auto& ids = config_.prompt_ids;
  return ids.size() < 2 ? Tensor() : at::tensor(std::vector<int64_t>(ids.begin(), ids.end() - 1), at::kLong);
}

std::unique_ptr<DecoderState> MplugAnswerer::begin_answer(const Tensor& pixels, const Tensor& question, const Tensor& mask) {
  const BertContext context = read(encode_image(pixels), question, mask);
  return networks.text_decoder->begin(context.states, context.mask);
}

UsualSearch MplugAnswerer::usual_answer_search() const {
  return {.rules = "mplug", .beams = config_.beam_size, .min_new_tokens = config_.min_length, .max_new_tokens = config_.max_length, .length_penalty = 0.6};
}

Tensor MplugAnswerer::answer_logits(const AnswerBatch& batch) {
  const BertContext context = read(encode_image(batch.pixels), batch.question, batch.question_mask);
  const Tensor mask = context.mask.defined() ? context.mask.index_select(0, batch.row) : Tensor();
  return networks.text_decoder->forward(batch.answer, batch.answer_mask, context.states.index_select(0, batch.row), mask);  // [N, La, V]
}

std::pair<Tensor, Tensor> MplugAnswerer::read_question(const Tensor& pixels, const Tensor& question, const Tensor& mask) const {
  BertContext context = read(encode_image(pixels), question, mask);
  return {std::move(context.states), std::move(context.mask)};
}

template <class Base>
Tensor MplugPairs<Base>::match(const Tensor& pixels, const Tensor& ids, const Tensor& mask) {
  return at::softmax(this->pair_logits(this->encode_image(pixels), this->networks.encode_text(ids, mask), mask), 1).select(1, 1);
}

template <class Base>
Tensor MplugPairs<Base>::embed_images(const Tensor& pixels) {
  const Tensor states = this->encode_image(pixels);
  return pixels.dim() == 5 ? this->networks.project_video(states, pixels.size(1)) : this->networks.project_image(states);
}

template <class Base>
Tensor MplugPairs<Base>::embed_matched(const Tensor& pictures) {
  const int64_t grid = this->architecture().image_res / this->architecture().patch_size, tokens = 1 + grid * grid;
  return pictures.size(1) > tokens ? this->networks.project_video(pictures, pictures.size(1) / tokens) : this->networks.project_image(pictures);
}

template <class Base>
Tensor MplugPairs<Base>::embed_texts(const Tensor& ids) {
  return this->networks.project_text(this->networks.encode_text(ids, ids.ne(this->architecture().pad)));
}

template class MplugPairs<MplugModel>;
template class MplugPairs<MplugAnswerer>;

namespace mplug {

bool holds(const TensorMap& weights, const std::string& prefix) {
  const auto it = weights.lower_bound(prefix);
  return it != weights.end() && it->first.compare(0, prefix.size(), prefix) == 0;
}

MplugTask task_of(const TensorMap& weights) {
  const bool decoder = holds(weights, "text_decoder."), matching = holds(weights, "itm_head.");
  if (decoder && matching) return MplugTask::pretrain;
  if (decoder) return holds(weights, "bbox_prob_mask") ? MplugTask::grounding : holds(weights, "text_encoder.") ? MplugTask::vqa : MplugTask::caption;
  if (matching) return MplugTask::retrieval;
  fail("this mPLUG is neither for captions, nor for answers, nor for retrieval: it has no text_decoder.* and no itm_head.*");
}

}  // namespace mplug

std::unique_ptr<MplugModel> make_mplug(MplugConfig config, const TensorMap& weights) {
  if (!config.task_known && !weights.empty()) config.task = mplug::task_of(weights);
  if (!weights.empty()) config.distill = config.distill && mplug::holds(weights, "visual_encoder_m.");
  switch (config.task) {
    case MplugTask::caption: return std::make_unique<MplugCaptioner>(config);
    case MplugTask::vqa: return std::make_unique<MplugAnswerer>(config);
    case MplugTask::retrieval: return std::make_unique<MplugRetriever>(config);
    case MplugTask::pretrain: return std::make_unique<MplugPretrainer>(config);
    case MplugTask::grounding: return std::make_unique<MplugGrounder>(config);
    case MplugTask::entailment:
    case MplugTask::nlvr2: break;
  }
  return std::make_unique<MplugClassifier>(config);
}

}  // namespace vlm
