#include "vlm/train/sentence_objective.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <array>

#include "vlm/core/strings.h"
#include "vlm/data/reasoning_lists.h"
#include "vlm/models/albef/albef.h"
#include "vlm/text/caption_cleaning.h"
#include "vlm/train/stacked_pictures.h"

namespace vlm {

namespace sentence_objective {

/// What an objective of this name is about.
struct Kind {
  const char* name;
  int64_t pictures, classes;
};
constexpr Kind kinds[] = {{"entail", 1, 3}, {"nlvr2", 2, 2}};

PairClassifier& classifier(Model& model, const std::string& name) {
  auto& own = require<PairClassifier>(model, "be trained with the objective '" + name + "'",
                                      "it has no head with classes for sentences about pictures; ALBEF's and mPLUG's models for entailment and NLVR2 have");
  const Kind& kind = *std::find_if(std::begin(kinds), std::end(kinds), [&](const Kind& one) { return name == one.name; });
  if (own.pictures() != kind.pictures || own.classes() != kind.classes) {
    fail_usage("the objective '", name, "' teaches ", kind.classes, " classes of a sentence about ", kind.pictures, kind.pictures == 1 ? " picture" : " pictures", ", but this ",
               model.family(), " model has ", own.classes(), " classes of ", own.pictures(), " (model.config.task)");
  }
  return own;
}

AlbefTextAssigner& assigner(Model& model) {
  return require<AlbefTextAssigner>(model, "be trained with the objective 'text_assignment'",
                                    "it does not choose among two pictures of a sentence; ALBEF's with model.config.task: text_assignment does");
}

SentenceOptions checked(SentenceOptions options, int64_t longest, const std::shared_ptr<const Tokenizer>& tokenizer, const std::string& name) {
  if (!tokenizer) fail("the objective '", name, "' needs a tokenizer (model.tokenizer)");
  if (options.max_length == 0 || options.max_length > longest) options.max_length = longest;
  if (options.max_length < 3) fail_usage("objective.options.max_length must be at least 3, and is ", options.max_length);
  return options;
}

std::vector<std::string> cleaned(const Batch& batch, const std::string& rules, int64_t max_words) {
  std::vector<std::string> out;
  for (const auto& text : batch.texts) out.push_back(clean_caption(rules, text, max_words));
  return out;
}

template <class Options, class Made, class... Name>
std::unique_ptr<Objective> make(const ObjectiveContext& context, const Config& options, const Name&... name) {
  Options parsed;
  options.read(parsed);
  return std::make_unique<Made>(context, name..., parsed);
}

}  // namespace sentence_objective

SentenceClassObjective::SentenceClassObjective(const ObjectiveContext& context, const std::string& name, const SentenceClassOptions& options)
    : name_(name),
      model_(sentence_objective::classifier(context.model, name)),
      tokenizer_(context.tokenizer),
      options_(options),
      teacher_(options, context.model, model_.has_teacher()),
      size_(require<PictureModel>(context.model, "be trained with the objective '" + name + "'", "it takes no pictures").picture_size()) {
  static_cast<SentenceOptions&>(options_) = sentence_objective::checked(options, model_.longest_sentence(), tokenizer_, name);
  if (options_.swap && model_.pictures() != 2) fail_usage("objective.options.swap is for two pictures (nlvr2)");
}

void SentenceClassObjective::check(const Sample& sample, const std::string& text) const {
  Objective::check(sample, text);
  if (static_cast<int64_t>(sample.images.size()) < model_.pictures()) throw SampleError("no_image", sample.place(), "two pictures are needed");
  if (!sample.label || *sample.label < 0 || *sample.label >= model_.classes()) {
    throw SampleError("bad_label", sample.place(), sample.label ? concat("label ", *sample.label, " of ", model_.classes()) : "there is none");
  }
}

std::pair<int64_t, int64_t> SentenceClassObjective::image_size_of(const std::string&) const { return {model_.pictures() * size_.first, size_.second}; }

PrepareSample SentenceClassObjective::preparation(const std::string&, const TrainTransformOptions& augment, const PreprocessOptions& evaluation) const {
  if (model_.pictures() == 1) return {};
  return stacked(augment, evaluation, size_, [swap = options_.swap, rules = model_.sentence_rules(), words = options_.max_words](const Sample& sample, const Image& first, SplitMix64& random, std::string& text) {
    std::vector<const Image*> out = {&first, sample.further.at(0).get()};
    if (out[1]->pixels.empty()) throw SampleError("no_image", sample.place());
    if (swap && random.chance(0.5)) {
      std::swap(out[0], out[1]);
      text = swap_left_right(clean_caption(rules, text, words));
    }
    return out;
  });
}

std::vector<LossTerm> SentenceClassObjective::losses(const Batch& batch) {
  const auto device = batch.images.device();
  const TextRows rows = special_rows(*tokenizer_, sentence_objective::cleaned(batch, model_.sentence_rules(), options_.max_words), options_.max_length, device);
  std::vector<int64_t> labels;
  for (const auto& sample : batch.samples) labels.push_back(sample.label.value());
  const Tensor target = at::tensor(labels, at::kLong).to(device);
  const Tensor pixels = model_.pictures() == 1 ? batch.images : at::cat(unstacked(batch.images, model_.pictures()));  // [n B, 3, S, S]
  const TaskStep step = classify_step(model_, teacher_.copies(), pixels, rows.ids, rows.mask, target, teacher_.step_options());
  accuracy_ = step.logits.argmax(1).eq(target).to(at::kFloat).mean().item<double>();
  return {{name_, step.loss, static_cast<double>(labels.size())}};
}

std::vector<std::pair<std::string, double>> SentenceClassObjective::metrics() const {
  std::vector<std::pair<std::string, double>> out = {{"accuracy", accuracy_}};
  if (teacher_.full() > 0) out.emplace_back("alpha", teacher_.alpha());
  return out;
}

TextAssignmentObjective::TextAssignmentObjective(const ObjectiveContext& context, const SentenceOptions& options)
    : model_(sentence_objective::assigner(context.model)),
      tokenizer_(context.tokenizer),
      options_(sentence_objective::checked(options, model_.architecture().text.positions, context.tokenizer, "text_assignment")),
      size_(model_.picture_size()) {}

std::vector<LossTerm> TextAssignmentObjective::losses(const Batch& batch) {
  const auto device = batch.images.device();
  const int64_t count = batch.size();
  const TextRows rows = special_rows(*tokenizer_, sentence_objective::cleaned(batch, "albef", options_.max_words), options_.max_length, device);
  const Tensor image = model_.encode_image(batch.images);  // [B, N, W]
  if (count < 2) return {{"text_assignment", image.sum() * 0, static_cast<double>(count)}};
  Tensor compared;
  {
    const at::NoGradGuard no_grad;
    compared = model_.online().project_image(image);
  }
  const std::array<int64_t, 2> size{count, 4};
  const PicturePairs pairs = draw_picture_pairs(compared.to(at::kFloat), at::rand(size, at::kFloat).to(device));
  const TaskStep step = assign_step(model_, image, rows.ids, rows.mask, pairs.first, pairs.second, pairs.labels);
  return {{"text_assignment", step.loss, static_cast<double>(count)}};
}

std::unique_ptr<Objective> make_entail_objective(const ObjectiveContext& context, const Config& options) {
  return sentence_objective::make<SentenceClassOptions, SentenceClassObjective>(context, options, std::string("entail"));
}

std::unique_ptr<Objective> make_nlvr2_objective(const ObjectiveContext& context, const Config& options) {
  return sentence_objective::make<SentenceClassOptions, SentenceClassObjective>(context, options, std::string("nlvr2"));
}

std::unique_ptr<Objective> make_text_assignment_objective(const ObjectiveContext& context, const Config& options) {
  return sentence_objective::make<SentenceOptions, TextAssignmentObjective>(context, options);
}

}  // namespace vlm
