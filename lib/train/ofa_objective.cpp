#include "vlm/train/ofa_objective.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>

#include <algorithm>

#include "vlm/train/evaluation.h"

namespace vlm {

namespace ofa_objective {

Tensor twice(const Tensor& tensor) { return tensor.defined() ? at::cat({tensor, tensor}) : tensor; }

/// The same instructions once more behind the others.
Instruction doubled(Instruction once) {
  for (Tensor* tensor : {&once.ids, &once.pixels, &once.picture_mask, &once.code_mask, &once.patch_orders}) *tensor = twice(*tensor);
  return once;
}

}  // namespace ofa_objective

Instructed& require_instructed(Model& model, const std::string& objective) {
  return require<Instructed>(model, "be trained with the objective '" + objective + "'", "it follows no instructions, as OFA does");
}

int64_t ofa_picture_side(Model& model, int64_t asked) {
  if (asked < 0) fail_usage("objective.options.patch_image_size must not be negative, and is ", asked);
  const int64_t own = require<PictureModel>(model, "look at pictures", "it takes none").picture_size().first;
  if (asked == 0 && own == 0) fail_usage("objective.options.patch_image_size is missing: the model does not say how large its pictures are");
  return asked > 0 ? asked : own;
}

LossTerm term_of(const std::string& name, const SequenceLoss& loss) {
  const auto count = static_cast<double>(loss.sample_size);
  return {name, loss.loss / std::max(count, 1.0), count};
}

OfaTeacher::OfaTeacher(Instructed& model, const OfaVocabulary& vocabulary, const OfaCriterionOptions& options)
    : model_(model), vocabulary_(vocabulary), options_(options) {
  if (options_.name != "label_smoothed" && options_.name != "encouraging") {
    fail_usage("objective.options.criterion is label_smoothed or encouraging, not '", options_.name, "'");
  }
  options_.criterion.pad_id = vocabulary.tokens().pad;
  options_.criterion.eos_id = vocabulary.tokens().end;
}

SequenceLoss OfaTeacher::operator()(const std::vector<OfaExample>& examples, const Tensor& pictures, const c10::Device& device, const TokenTrie* trie,
                                    int64_t sample_patches, int64_t update_num) const {
  using namespace ofa_objective;
  OfaRows rows = collate(examples, vocabulary_, trie, device);
  if (pictures.defined()) {
    rows.instruction.pixels = pictures.index_select(0, rows.picture);
    rows.instruction.sample_patches = sample_patches;
  }
  SequenceTargets targets{rows.target, rows.weight, rows.allowed};
  Tensor kept = rows.kept;
  const int64_t replies = rows.previous.size(0);
  if (kept.defined()) {
    for (Tensor* tensor : {&targets.ids, &targets.conf, &targets.constraint_masks}) {
      if (tensor->defined()) *tensor = tensor->index_select(0, kept);
    }
  }
  if (options_.criterion.use_rdrop) {
    rows.instruction = doubled(std::move(rows.instruction));
    rows.previous = twice(rows.previous);
    targets = targets.doubled();
    if (kept.defined()) kept = at::cat({kept, kept + replies});
  }
  const auto encoded = model_.encode_instruction(rows.instruction);
  Tensor logits = model_.reply_logits(*encoded, rows.previous);  // [R, T, V]
  if (kept.defined()) logits = logits.index_select(0, kept);
  return options_.name == "encouraging" ? encouraging_loss(logits, targets, options_, update_num)
                                        : label_smoothed_cross_entropy(logits, targets, options_.criterion, update_num);
}

OfaObjective::OfaObjective(const ObjectiveContext& context, const OfaObjectiveOptions& options)
    : options_(options),
      vocabulary_(require_instructed(context.model, "ofa"), context.tokenizer),
      task_(vocabulary_, options_),
      teacher_(require_instructed(context.model, "ofa"), vocabulary_, options_),
      device_(context.model.trainable().at(0).tensor.device()) {
  if (options_.sample_patches < 0) fail_usage("objective.options.sample_patches must not be negative, and is ", options_.sample_patches);
  if (task_.pictured()) size_ = {ofa_picture_side(context.model, options_.patch_image_size), ofa_picture_side(context.model, options_.patch_image_size)};
}

std::string OfaObjective::evaluation() const {
  const std::string name = ofa_task_evaluation(options_.task);
  const auto& known = evaluation_names();
  return std::find(known.begin(), known.end(), name) != known.end() ? name : "";
}

std::vector<LossTerm> OfaObjective::losses(const Batch& batch) {
  // The trainer seeds the generator for every step, so a run that goes on draws what it would have drawn.
  const uint64_t seed = at::detail::getDefaultCPUGenerator().current_seed();
  std::vector<OfaExample> examples;
  for (size_t i = 0; i < batch.samples.size(); ++i) {
    SplitMix64 random(mix({seed, static_cast<uint64_t>(batch.samples[i].number)}));
    examples.push_back(task_.example(batch.samples[i], batch.texts[i], random));
    if (task_.pictured()) examples.back().picture = static_cast<int64_t>(i);
  }
  const Tensor pictures = task_.pictured() ? batch.images : Tensor();
  return {term_of(options_.task, teacher_(examples, pictures, device_, task_.trie(), options_.sample_patches, step_))};
}

std::unique_ptr<Objective> make_ofa_objective(const ObjectiveContext& context, const Config& options) {
  OfaObjectiveOptions parsed;
  options.read(parsed);
  return std::make_unique<OfaObjective>(context, parsed);
}

}  // namespace vlm
