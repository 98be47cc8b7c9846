#include "vlm/train/pair_objective.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/rand.h>

#include <algorithm>
#include <array>

#include "vlm/text/caption_cleaning.h"
#include "vlm/train/momentum.h"

namespace vlm {

PairObjective::PairObjective(const ObjectiveContext& context, const std::string& name, const PairObjectiveOptions& options, const PairTokens& tokens)
    : shared_(options),
      tokens_(tokens),
      tokenizer_(context.tokenizer),
      communicator_(context.communicator),
      size_(require<PictureModel>(context.model, "be trained with the objective '" + name + "'", "it takes no pictures").picture_size()) {
  if (!tokenizer_) fail("the objective '", name, "' needs a tokenizer (model.tokenizer)");
  if (shared_.stage != "pretrain" && shared_.stage != "retrieval") fail_usage("objective.options.stage is pretrain or retrieval, not '", shared_.stage, "'");
  const auto share = [](const char* key, double value) {
    if (!(value >= 0 && value <= 1)) fail_usage("objective.options.", key, " must be from 0 to 1, and is ", value);
  };
  share("alpha", shared_.alpha);
  share("momentum", shared_.momentum);
  share("mlm_probability", shared_.mlm_probability);
  if (shared_.max_length == 0) shared_.max_length = shared_.pretrains() ? 25 : 30;
  if (shared_.max_length < 3) fail_usage("objective.options.max_length must be at least 3, and is ", shared_.max_length);
  if (tokenizer_->vocab_size() > tokens_.vocab_size) {
    fail_usage("the tokenizer has ", tokenizer_->vocab_size(), " pieces, but the model only ", tokens_.vocab_size, " (vocab_size)");
  }
  if (!shared_.pretrains()) shared_.mlm_weight = 0;
  if (shared_.mlm_weight != 0 && (tokens_.mask < 0 || tokens_.mask >= tokens_.vocab_size)) {
    fail_usage("hidden words need the id of a mask below the model's vocab_size (", tokens_.vocab_size, "); mask_token_id is ", tokens_.mask);
  }
}

void PairObjective::begin_step(int64_t step, int64_t) {
  alpha_ = distillation_share(shared_.alpha, step, shared_.alpha_ramp ? steps_per_epoch_ : 0);
}

std::vector<int64_t> PairObjective::framed(const std::string& text, int64_t most, bool close) const {
  std::vector<int64_t> out = {tokens_.cls};
  const std::vector<int64_t> pieces = tokenizer_->encode(text);
  const auto room = static_cast<size_t>(std::max<int64_t>(0, most - (close ? 2 : 1)));
  out.insert(out.end(), pieces.begin(), pieces.begin() + static_cast<std::ptrdiff_t>(std::min(room, pieces.size())));
  if (close) out.push_back(tokens_.sep);
  return out;
}

std::vector<std::string> PairObjective::captions(const Batch& batch) const {
  std::vector<std::string> out;
  for (const auto& text : batch.texts) out.push_back(albef_caption(text, shared_.max_words));
  return out;
}

TextRows PairObjective::rows_of(const std::vector<std::string>& texts, int64_t most, bool close, const c10::Device& device) const {
  std::vector<std::vector<int64_t>> rows;
  for (const auto& text : texts) rows.push_back(framed(text, most, close));
  return pad_rows(rows, tokens_.pad, device);
}

MaskedTokens PairObjective::hide_words(const TextRows& rows) const {
  const TokenMaskOptions options{.probability = shared_.mlm_probability, .mask_id = tokens_.mask, .vocab_size = tokens_.vocab_size,
                                 .exclude = {tokens_.pad, tokens_.cls}};
  SplitMix64 random(mix({at::detail::getDefaultCPUGenerator().current_seed(), 0x6d6c6d}));
  MaskedTokens out = mask_tokens(rows.ids.cpu(), options, random);
  const auto device = rows.ids.device();
  return {out.input_ids.to(device), out.labels.to(device)};
}

Tensor PairObjective::uniforms(int64_t count, const c10::Device& device) const {
  const std::array<int64_t, 1> size{count};
  return at::rand(size, at::kFloat).to(device);
}

SplitMix64 PairObjective::stream_of(const Sample& sample) const {
  return SplitMix64(mix({at::detail::getDefaultCPUGenerator().current_seed(), static_cast<uint64_t>(sample.number)}));
}

}  // namespace vlm
