#include "vlm/train/vqa_objective.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "vlm/core/rng.h"
#include "vlm/text/caption_cleaning.h"
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
      teacher_(options, context.model, answerer_.has_teacher()),
      size_(require<PictureModel>(context.model, "be trained with the objective 'vqa'", "it takes no pictures").picture_size()) {
  if (!tokenizer_) fail("the objective 'vqa' needs a tokenizer");
  if (options_.answers != "all" && options_.answers != "one") fail_usage("objective.options.answers is all or one, not '", options_.answers, "'");
  if (options_.max_answer_length < 2 || options_.max_question_length < 2) {
    fail_usage("objective.options.max_question_length and max_answer_length are at least 2");
  }
  const AnswerWording wording = answerer_.answer_wording();
  if (options_.label_smoothing == -1) options_.label_smoothing = wording.label_smoothing;
  if (!(options_.label_smoothing >= 0 && options_.label_smoothing < 1)) fail_usage("objective.options.label_smoothing must be from 0 to below 1, and is ", options_.label_smoothing);
  if (options_.label_smoothing > 0 && teacher_.full() > 0) {
    fail_usage("objective.options.label_smoothing and alpha both soften the targets; set one of them to 0 (ALBEF as published: label_smoothing: 0)");
  }
  if (options_.questions == "auto") options_.questions = wording.questions;
  clean_question(options_.questions, "");  // unknown rules end the run here
  ends_ = wording.ends;
  const int64_t most = answerer_.generation_tokens().max_length;
  options_.max_question_length = std::min(options_.max_question_length, most);
  options_.max_answer_length = std::min(options_.max_answer_length, most);
}

std::vector<int64_t> VqaObjective::question_ids(const Sample& sample) const {
  const std::string question = clean_question(options_.questions, sample.question, options_.max_question_words);
  auto ids = tokenizer_->with_specials(tokenizer_->encode(question), options_.max_question_length);
  if (options_.enc_token) ids.at(0) = tokenizer_->id_of("[ENC]");
  return ids;
}

void VqaObjective::check(const Sample& sample, const std::string&) const {
  const std::string place = sample.shard + ": " + sample.key;
  if (sample.images.empty()) throw SampleError("no_image", place);
  if (sample.question.empty()) throw SampleError("no_question", place);
  if (sample.answers.empty()) throw SampleError("no_answer", place);
}

void VqaObjective::begin_step(int64_t step, int64_t) { teacher_.begin_step(step); }

std::vector<std::pair<std::string, double>> VqaObjective::metrics() const {
  if (teacher_.full() == 0) return {};
  return {{"alpha", teacher_.alpha()}};
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
      answers.push_back(taught_ids(*tokenizer_, answer, tokens, options_.max_answer_length, ends_));
      row.push_back(static_cast<int64_t>(i));
      weights.push_back(weight);
    }
  }
  const auto device = batch.images.device();
  const TextRows asked = pad_rows(questions, tokens.pad, device), said = pad_rows(answers, tokens.pad, device);
  const AnswerBatch taught = {.pixels = batch.images,
                              .question = asked.ids,
                              .question_mask = asked.mask,
                              .row = at::tensor(row, at::kLong).to(device),
                              .answer = said.ids,
                              .answer_mask = said.mask,
                              .mask_question_padding = options_.mask_question_padding};
  TaskStepOptions step = teacher_.step_options();
  step.label_smoothing = options_.label_smoothing;
  const Tensor weight = at::tensor(weights, at::kDouble).to(device, at::kFloat);
  return {{"answer", answer_step(answerer_, teacher_.copies(), taught, weight, step).loss, static_cast<double>(batch.samples.size())}};
}

std::unique_ptr<Objective> make_vqa_objective(const ObjectiveContext& context, const Config& options) {
  VqaObjectiveOptions parsed;
  options.read(parsed);
  return std::make_unique<VqaObjective>(context, parsed);
}

}  // namespace vlm
