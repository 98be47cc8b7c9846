#include "vlm/train/alignment_objective.h"

#include <ATen/TensorOperators.h>

#include <algorithm>

#include "vlm/core/error.h"
#include "vlm/train/stacked_pictures.h"

namespace vlm {

namespace alignment_objective {

AlbefAligner& aligner(Model& model, const std::string& name) {
  auto* own = dynamic_cast<AlbefAligner*>(&model);
  if (!own) {
    fail_usage("the objective '", name, "' trains models of the family albef that compare pictures and texts (task: pretrain or retrieval), not ",
               model.family());
  }
  if (!own->image_queue.defined() || !own->has_momentum()) {
    fail_usage("the objective '", name, "' needs a model with queues and momentum copies (model.config.queue_size, model.config.momentum_copies)");
  }
  return *own;
}

PairTokens tokens_of(const AlbefConfig& c) { return {.cls = c.cls, .sep = c.sep, .pad = c.pad, .mask = c.mask, .vocab_size = c.text.vocab_size}; }

std::set<std::string> features_of(const AlbefAligner& model) {
  std::set<std::string> out = {"image", "text", "image_aug", "text_aug"};
  if (model.vision_proj_ind) out.insert({"image_ind", "text_ind", "image_ind_aug", "text_ind_aug"});
  return out;
}

}  // namespace alignment_objective

AlignmentObjective::AlignmentObjective(const ObjectiveContext& context, AlignmentMethod method, const std::string& name,
                                       const AlignmentObjectiveOptions& options)
    : PairObjective(context, name, options, alignment_objective::tokens_of(alignment_objective::aligner(context.model, name).architecture())),
      options_(options),
      model_(alignment_objective::aligner(context.model, name)),
      method_(method),
      terms_(options.terms, alignment_objective::features_of(model_), concat("the objective '", name, "' on this model")) {
  if (method_ == AlignmentMethod::codis && !model_.codebook.defined()) fail_usage("the objective 'codis' needs a model with a codebook (model.config.codebook_size)");
  const auto known = [](const char* key, const std::string& value, std::initializer_list<std::string> names) {
    if (std::find(names.begin(), names.end(), value) == names.end()) {
      fail_usage("objective.options.", key, " is ", join(std::vector<std::string>(names), " or "), ", not '", value, "'");
    }
  };
  known("second_view", options_.second_view, {"auto", "same", "augmented"});
  known("pooling", options_.pooling, {"auto", "sqrt", "fixed16"});
  two_views_ = options_.second_view == "augmented" || (options_.second_view == "auto" && method_ == AlignmentMethod::tcl);
  pooling_ = options_.pooling != "auto" ? local_pooling_named(options_.pooling) : shared_.pretrains() ? LocalPooling::sqrt : LocalPooling::fixed16;
  if (shared_.mlm_weight != 0 && !model_.online().language_model) {
    fail_usage("the objective '", name, "' hides words, but this model has no vocabulary head (text_encoder.cls.*); take model.config.task: pretrain, or "
               "objective.options.mlm_weight: 0");
  }
}

std::pair<int64_t, int64_t> AlignmentObjective::image_size_of(const std::string&) const {
  return {two_views_ ? 2 * size_.first : size_.first, size_.second};
}

PrepareSample AlignmentObjective::preparation(const std::string&, const TrainTransformOptions& augment, const PreprocessOptions& evaluation) const {
  if (!two_views_) return {};
  // A picture augmented twice.
  return stacked(augment, evaluation, size_, [](const Sample&, const Image& image, SplitMix64&, std::string&) { return std::vector<const Image*>{&image, &image}; });
}

std::vector<LossTerm> AlignmentObjective::losses(const Batch& batch) {
  const int64_t rows = batch.size();
  const auto device = batch.images.device();
  AlignmentBatch in;
  in.image = batch.images;
  if (two_views_) {
    const auto views = unstacked(batch.images, 2);
    in.image = views[0];
    in.image_aug = views[1];
  }
  const TextRows text = rows_of(captions(batch), shared_.max_length, true, device);
  in.ids = text.ids;
  in.mask = text.mask;
  if (!shared_.pretrains()) in.idx = batch.image_index.to(device);
  if (shared_.mlm_weight != 0) {
    const MaskedTokens hidden = hide_words(text);
    in.masked_ids = hidden.input_ids;
    in.mlm_labels = hidden.labels;
  }
  in.uniform_image = uniforms(rows, device);
  in.uniform_text = uniforms(rows, device);

  AlignmentOptions options;
  options.method = method_;
  options.alpha = alpha();
  options.momentum = shared_.momentum;
  options.pooling = pooling_;
  options.clamp_temperature = shared_.pretrains();
  options.codebook = options_.codebook;
  options.matching = shared_.itm_weight != 0 && rows > 1;
  options.communicator = &communicator_;
  const AlignmentStep step = alignment_step(model_, in, options);

  const std::map<std::string, double> weights = {{"ita", shared_.ita_weight}, {"itm", shared_.itm_weight}, {"mlm", shared_.mlm_weight}, {"codebook", options_.codebook_weight}};
  std::vector<LossTerm> out;
  for (const auto& [name, value] : step.losses) {
    if (const double weight = weights.at(name); weight != 0) out.push_back({name, weight == 1 ? value : value * weight, static_cast<double>(rows)});
  }
  for (auto& term : terms_.losses(communicator_, step.named, model_.temp, text.ids)) out.push_back(std::move(term));
  if (out.empty()) fail_usage("all weights of the objective are 0: nothing is learnt");
  return out;
}

std::vector<std::pair<std::string, double>> AlignmentObjective::metrics() const { return {{"temp", model_.temp.item<double>()}, {"alpha", alpha()}}; }

namespace alignment_objective {

std::unique_ptr<Objective> make(const ObjectiveContext& context, const Config& options, AlignmentMethod method, const char* name) {
  AlignmentObjectiveOptions parsed;
  options.read(parsed);
  return std::make_unique<AlignmentObjective>(context, method, name, parsed);
}

}  // namespace alignment_objective

std::unique_ptr<Objective> make_albef_objective(const ObjectiveContext& context, const Config& options) {
  return alignment_objective::make(context, options, AlignmentMethod::albef, "albef");
}

std::unique_ptr<Objective> make_tcl_objective(const ObjectiveContext& context, const Config& options) {
  return alignment_objective::make(context, options, AlignmentMethod::tcl, "tcl");
}

std::unique_ptr<Objective> make_codis_objective(const ObjectiveContext& context, const Config& options) {
  return alignment_objective::make(context, options, AlignmentMethod::codis, "codis");
}

}  // namespace vlm
