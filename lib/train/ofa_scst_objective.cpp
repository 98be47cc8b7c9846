#include "vlm/train/ofa_scst_objective.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>

#include "vlm/infer/sequence_search.h"
#include "vlm/losses/scst.h"
#include "vlm/text/ofa_instructions.h"
#include "vlm/train/scst_frequency.h"
#include "vlm/train/text_rows.h"

namespace vlm {

namespace ofa_scst {

/// The model writes without dropout and with its running statistics, and is in training mode again afterwards.
class Writing {
 public:
  explicit Writing(Model& model) : model_(model) { model_.set_training(false); }
  ~Writing() { model_.set_training(true); }
  Writing(const Writing&) = delete;
  Writing& operator=(const Writing&) = delete;

 private:
  Model& model_;
  at::NoGradGuard no_grad_;
};

}  // namespace ofa_scst

OfaScstObjective::OfaScstObjective(const ObjectiveContext& context, const OfaScstOptions& options)
    : options_(options),
      model_(context.model),
      writer_(require_instructed(context.model, "ofa_scst")),
      vocabulary_(writer_, context.tokenizer),
      size_{ofa_picture_side(context.model, options.patch_image_size), ofa_picture_side(context.model, options.patch_image_size)},
      instruction_(vocabulary_.source(vocabulary_.text(ofa_instruction::caption()))) {
  if (options_.beam < 2) fail_usage("objective.options.beam must be at least 2: a caption is held against the others of its picture");
  if (options_.max_len_b < 1) fail_usage("objective.options.max_len_b must be at least 1, not ", options_.max_len_b);
  frequency_ = scst_frequency(options_.document_frequency, CaptionSentences::reward);
}

std::vector<std::vector<std::vector<int64_t>>> OfaScstObjective::describe(const Tensor& pictures) {
  const ofa_scst::Writing writing(model_);
  const int64_t rows = pictures.size(0);
  Instruction instruction;
  instruction.ids = pad_rows(std::vector<std::vector<int64_t>>(static_cast<size_t>(rows), instruction_), vocabulary_.tokens().pad, pictures.device()).ids;
  instruction.pixels = pictures;
  SequenceSearchOptions search;
  search.beam = search.n_best = options_.beam;
  search.max_len_b = options_.max_len_b;
  search.no_repeat_ngram = options_.no_repeat_ngram;
  if (!options_.constraint_range.empty()) search.constraint_range = concat(options_.constraint_range.at(0), ",", options_.constraint_range.at(1));
  const auto state = writer_.begin_reply(writer_.encode_instruction(instruction));
  const auto found = sequence_search(*state, rows, instruction.ids.size(1), vocabulary_.tokens(), vocabulary_.ids(), {}, search);
  std::vector<std::vector<std::vector<int64_t>>> out;
  for (const auto& hypotheses : found) {
    if (hypotheses.empty()) fail("the search for captions found none");
    out.emplace_back();
    // Fewer than the beams end only where there is next to nothing to say; the last one then stands for those that are missing.
    for (int64_t k = 0; k < options_.beam; ++k) out.back().push_back(hypotheses[std::min(static_cast<size_t>(k), hypotheses.size() - 1)].ids);
  }
  return out;
}

std::vector<LossTerm> OfaScstObjective::losses(const Batch& batch) {
  const auto written = describe(batch.images);
  std::vector<std::string> captions;
  std::vector<std::vector<std::string>> references;
  std::vector<int64_t> picture;
  std::vector<OfaExample> examples;
  for (size_t i = 0; i < written.size(); ++i) {
    references.push_back(batch.samples[i].captions);
    OfaExample example{instruction_, {}, static_cast<int64_t>(i)};
    for (const auto& ids : written[i]) {
      captions.push_back(vocabulary_.tokenizer().caption_of(ids));
      picture.push_back(static_cast<int64_t>(i));
      example.replies.push_back(vocabulary_.reply({vocabulary_.tokens().begin}, ids, /*ends=*/false));
    }
    examples.push_back(std::move(example));
  }
  const auto scores = caption_rewards(captions, references, picture, frequency_ ? &*frequency_ : nullptr);
  reward_ = 0;
  for (const double score : scores) reward_ += score / static_cast<double>(scores.size());

  OfaRows rows = collate(examples, vocabulary_, nullptr, batch.images.device());
  rows.instruction.pixels = batch.images;
  rows.instruction.sample_patches = options_.sample_patches;
  const auto encoded = writer_.encode_instruction(rows.instruction);
  const Tensor logits = writer_.reply_logits(*encoded, rows.previous);  // [B K, T, V]
  LabelSmoothedCrossEntropyOptions criterion;
  criterion.constraint_range = options_.constraint_range;
  criterion.sentence_avg = options_.sentence_avg;
  criterion.pad_id = vocabulary_.tokens().pad;
  const Tensor reward = scst_reward(at::tensor(scores, at::kDouble), options_.beam).to(batch.images.device());
  return {term_of("scst", scst_loss(logits, rows.target, reward, criterion))};
}

std::unique_ptr<Objective> make_ofa_scst_objective(const ObjectiveContext& context, const Config& options) {
  OfaScstOptions parsed;
  options.read(parsed);
  return std::make_unique<OfaScstObjective>(context, parsed);
}

}  // namespace vlm
