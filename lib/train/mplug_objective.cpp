#include "vlm/train/mplug_objective.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/tensor.h>

#include <algorithm>

#include "vlm/core/rng.h"
#include "vlm/core/strings.h"
#include "vlm/losses/token_masking.h"
#include "vlm/train/momentum.h"
#include "vlm/train/mplug_losses.h"
#include "vlm/train/text_rows.h"

namespace vlm {

namespace mplug_objective {

MplugModel& comparing(Model& model) {
  auto* mplug = dynamic_cast<MplugModel*>(&model);
  if (mplug == nullptr || !mplug->itm_head) fail("the objective 'mplug' trains mPLUG's models for retrieval and pretraining; this is another ", model.family(), " model");
  return *mplug;
}

std::vector<std::string> words(const std::string& caption) {
  constexpr const char* white = " \t\r\n";
  const size_t first = caption.find_first_not_of(white);
  if (first == std::string::npos) return {};
  return split(std::string_view(caption).substr(first, caption.find_last_not_of(white) - first + 1), " ");
}

Tensor uniforms(int64_t count, SplitMix64& random, const c10::Device& device) {
  std::vector<float> out;
  // A float may round up to 1, which lies outside.
  for (int64_t i = 0; i < count; ++i) out.push_back(std::min(static_cast<float>(random.uniform()), 1 - 1e-7F));
  return at::tensor(out).to(device);
}

}  // namespace mplug_objective

int64_t caption_words(const std::string& caption) { return static_cast<int64_t>(mplug_objective::words(caption).size()); }

std::pair<std::string, std::string> cut_caption(const std::string& caption, int64_t cut) {
  const auto words = mplug_objective::words(caption);
  const auto at = words.begin() + std::clamp<int64_t>(cut, 0, static_cast<int64_t>(words.size()));
  return {join({words.begin(), at}, " "), join({at, words.end()}, " ")};
}

MplugObjective::MplugObjective(const ObjectiveContext& context, const MplugObjectiveOptions& options)
    : model_(mplug_objective::comparing(context.model)),
      pretrainer_(dynamic_cast<MplugPretrainer*>(&context.model)),
      tokenizer_(context.tokenizer),
      communicator_(context.communicator),
      options_(options) {
  if (!tokenizer_) fail("the objective 'mplug' needs a tokenizer");
  if (options_.max_length < 2 || options_.max_prefix_length < 2) fail_usage("objective.options.max_length and max_prefix_length are at least 2");
  if (options_.alpha < 0 || options_.alpha > 1) fail_usage("objective.options.alpha is from 0 to 1, not ", options_.alpha);
  if (options_.mask_probability < 0 || options_.mask_probability > 1) fail_usage("objective.options.mask_probability is from 0 to 1, not ", options_.mask_probability);
  const int64_t most = model_.architecture().positions;
  options_.max_length = std::min(options_.max_length, most);
  options_.max_prefix_length = std::min(options_.max_prefix_length, most);
  if (!model_.has_copies()) {
    const auto device = model_.trainable().at(0).tensor.device();
    model_.add_copies();
    model_.to(device);
  }
}

std::vector<LossTerm> MplugObjective::losses(const Batch& batch) {
  const auto& config = model_.architecture();
  const auto device = batch.images.device();
  const int64_t rows = batch.size();
  // The trainer seeds the generator for every step, so a run that goes on draws what it would have drawn.
  SplitMix64 random(mix({at::detail::getDefaultCPUGenerator().current_seed(), static_cast<uint64_t>(batch.numbers.empty() ? 0 : batch.numbers[0])}));
  std::vector<std::vector<int64_t>> captions;
  for (const auto& text : batch.texts) captions.push_back(tokenizer_->with_specials(tokenizer_->encode(text), options_.max_length));
  const TextRows texts = pad_rows(captions, config.pad, device);

  MplugPairOptions pairs;
  pairs.alpha = distillation_share(options_.alpha, step_, options_.ramp_steps);
  pairs.momentum = options_.momentum;
  pairs.gather = [this](const Tensor& x) { return communicator_.all_gather_rows(x); };
  if (pretrainer_) model_.clamp_temperature();
  const Tensor idx = pretrainer_ ? Tensor() : batch.image_index.to(device);
  const MplugPairStates states = mplug_contrast(model_, {batch.images, texts.ids, texts.mask, idx}, pairs);
  const Tensor for_texts = mplug_objective::uniforms(rows, random, device), for_pictures = mplug_objective::uniforms(rows, random, device);
  const MatchingNegatives negatives =
      matching_negatives(states.contrast.i2t.similarity, states.contrast.t2i.similarity, for_texts, for_pictures, idx, NoNegative::error);
  const auto count = static_cast<double>(rows);
  std::vector<LossTerm> out = {{"ita", states.contrast.loss(), count},
                               {"itm", matching_loss(mplug_matching_logits(model_, states, negatives.image, negatives.text)), count}};
  if (!pretrainer_) return out;

  TokenMaskOptions masking;
  masking.probability = options_.mask_probability;
  masking.mask_id = config.mask;
  masking.vocab_size = config.vocab_size;
  masking.exclude = {config.pad, config.cls};
  const MaskedTokens masked = mask_tokens(texts.ids.cpu(), masking, random);
  const double labels = std::max(1.0, static_cast<double>(masked.labels.ne(masking.ignore).sum().item<int64_t>()));
  out.push_back({"mlm", mplug_masked_loss(*pretrainer_, states, masked.input_ids.to(device), masked.labels.to(device), pairs.alpha), labels});

  const GenerationTokens tokens = pretrainer_->generation_tokens();
  std::vector<std::vector<int64_t>> beginnings, rests;
  for (const auto& text : batch.texts) {
    const int64_t n = caption_words(text);
    const auto [beginning, rest] = cut_caption(text, n > 0 ? static_cast<int64_t>(random.below(static_cast<uint64_t>(n))) : 0);
    beginnings.push_back(tokenizer_->with_specials(tokenizer_->encode(beginning), options_.max_prefix_length));
    rests.push_back(taught_ids(*tokenizer_, rest, tokens, options_.max_prefix_length));
  }
  const TextRows read = pad_rows(beginnings, config.pad, device), written = pad_rows(rests, config.pad, device);
  out.push_back({"prefix", mplug_prefix_loss(model_, states.image, read.ids, read.mask, written.ids, written.mask),
                 static_cast<double>(written.mask.slice(1, 1).sum().item<int64_t>())});
  return out;
}

std::vector<std::pair<std::string, double>> MplugObjective::metrics() const { return {{"temp", model_.temp.item<double>()}}; }

std::unique_ptr<Objective> make_mplug_objective(const ObjectiveContext& context, const Config& options) {
  MplugObjectiveOptions parsed;
  options.read(parsed);
  return std::make_unique<MplugObjective>(context, parsed);
}

}  // namespace vlm
