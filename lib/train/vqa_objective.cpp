#include "vlm/train/vqa_objective.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Reduction.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "vlm/core/rng.h"
#include "vlm/train/text_rows.h"

namespace vlm {

std::vector<std::pair<std::string, double>> taught_answers(const Sample& sample, bool one, uint64_t seed) {
  const auto& answers = sample.answers;
  if (answers.empty()) fail(sample.place(), ": the question has no answer to learn");
  std::vector<double> weights = sample.weights;
  if (weights.empty()) weights.assign(answers.size(), 1 / static_cast<double>(answers.size()));
  if (weights.size() != answers.size()) fail(sample.place(), ": ", answers.size(), " answers with ", weights.size(), " weights");
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  const bool sound = std::all_of(weights.begin(), weights.end(), [](double w) { return std::isfinite(w) && w >= 0; });
  if (!sound || !std::isfinite(sum)) fail(sample.place(), ": the weight of an answer must be a number that is not negative");
  std::vector<std::pair<std::string, double>> out;
  for (size_t i = 0; i < answers.size(); ++i) {
    if (weights[i] > 0) out.emplace_back(answers[i], weights[i]);
  }
  // Nothing to learn from this question, but its place in the batch stays.
  if (out.empty()) return {{answers[0], 0.0}};
  if (!one) return out;
  SplitMix64 random(mix({seed, static_cast<uint64_t>(sample.number)}));
  double left = random.uniform() * sum;
  size_t drawn = 0;
  while (drawn + 1 < out.size() && left >= out[drawn].second) left -= out[drawn++].second;
  return {{out[drawn].first, sum}};
}

VqaObjective::VqaObjective(const ObjectiveContext& context, const VqaObjectiveOptions& options)
    : answerer_(require<AnswerTrainable>(context.model, "be trained with the objective 'vqa'", "it has no decoder that reads a question")),
      tokenizer_(context.tokenizer),
      options_(options),
      size_(require<PictureModel>(context.model, "be trained with the objective 'vqa'", "it takes no pictures").picture_size()) {
  if (!tokenizer_) fail("the objective 'vqa' needs a tokenizer");
  if (options_.answers != "all" && options_.answers != "one") fail_usage("objective.options.answers is all or one, not '", options_.answers, "'");
  if (options_.max_answer_length < 2 || options_.max_question_length < 2) {
    fail_usage("objective.options.max_question_length and max_answer_length are at least 2");
  }
  const int64_t most = answerer_.generation_tokens().max_length;
  options_.max_question_length = std::min(options_.max_question_length, most);
  options_.max_answer_length = std::min(options_.max_answer_length, most);
}

std::vector<int64_t> VqaObjective::question_ids(const Sample& sample) const {
  auto ids = tokenizer_->with_specials(tokenizer_->encode(sample.question), options_.max_question_length);
  if (options_.enc_token) ids.at(0) = tokenizer_->id_of("[ENC]");
  return ids;
}

void VqaObjective::check(const Sample& sample, const std::string&) const {
  const std::string place = sample.shard + ": " + sample.key;
  if (sample.images.empty()) throw SampleError("no_image", place);
  if (sample.question.empty()) throw SampleError("no_question", place);
  if (sample.answers.empty()) throw SampleError("no_answer", place);
}

std::vector<LossTerm> VqaObjective::losses(const Batch& batch) {
  const GenerationTokens tokens = answerer_.generation_tokens();
  // The trainer seeds the generator for every step, so a run that goes on draws what it would have drawn.
  const uint64_t seed = at::detail::getDefaultCPUGenerator().current_seed();
  std::vector<std::vector<int64_t>> questions, answers;
  std::vector<int64_t> row;
  std::vector<double> weights;
  for (size_t i = 0; i < batch.samples.size(); ++i) {
    questions.push_back(question_ids(batch.samples[i]));
    for (const auto& [answer, weight] : taught_answers(batch.samples[i], options_.answers == "one", seed)) {
      answers.push_back(taught_ids(*tokenizer_, answer, tokens, options_.max_answer_length));
      row.push_back(static_cast<int64_t>(i));
      weights.push_back(weight);
    }
  }
  const auto device = batch.images.device();
  const TextRows asked = pad_rows(questions, tokens.pad, device), said = pad_rows(answers, tokens.pad, device);
  const Tensor logits = answerer_.answer_logits({.pixels = batch.images,
                                                 .question = asked.ids,
                                                 .question_mask = asked.mask,
                                                 .row = at::tensor(row, at::kLong).to(device),
                                                 .answer = said.ids,
                                                 .answer_mask = said.mask,
                                                .mask_question_padding = options_.mask_question_padding});             // [N, L, V]
  const Tensor labels = labels_of(said, 1).slice(1, 1);                                 // [N, L - 1]
  const Tensor each = at::cross_entropy_loss(logits.slice(1, 0, -1).transpose(1, 2), labels, {}, at::Reduction::None, -100,
                                             options_.label_smoothing);                 // [N, L - 1]
  const Tensor weight = at::tensor(weights, at::kDouble).to(each.options().requires_grad(false));
  const double count = static_cast<double>(batch.samples.size());
  return {{"answer", (each.sum(1) * weight).sum() / count, count}};
}

std::unique_ptr<Objective> make_vqa_objective(const ObjectiveContext& context, const Config& options) {
  VqaObjectiveOptions parsed;
  options.read(parsed);
  return std::make_unique<VqaObjective>(context, parsed);
}

}  // namespace vlm
