#include "vlm/train/mplug_objective.h"

#include <ATen/TensorOperators.h>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"

namespace vlm {

namespace mplug_objective {

MplugModel& comparing(Model& model) {
  auto* own = dynamic_cast<MplugModel*>(&model);
  if (!own || !own->itm_head) {
    fail_usage("the objective 'mplug' trains models of the family mplug that compare pictures and texts (task: pretrain or retrieval)",
               own ? concat(", not those for ", name_of(own->architecture().task)) : concat(", not ", model.family()));
  }
  if (!own->has_copies()) own->add_copies();  // what was released for use has none
  return *own;
}

PairTokens tokens_of(const MplugConfig& c) { return {.cls = c.cls, .sep = c.sep, .pad = c.pad, .mask = c.mask, .vocab_size = c.vocab_size}; }

}  // namespace mplug_objective

std::pair<std::string, std::string> split_for_prefix(const std::string& caption, SplitMix64& random) {
  const std::vector<std::string> words = split(caption, " ");
  const size_t cut = words.empty() ? 0 : static_cast<size_t>(random.below(words.size()));
  const auto middle = words.begin() + static_cast<std::ptrdiff_t>(cut);
  return {join(std::vector<std::string>(words.begin(), middle), " "), join(std::vector<std::string>(middle, words.end()), " ")};
}

MplugObjective::MplugObjective(const ObjectiveContext& context, const MplugObjectiveOptions& options)
    : PairObjective(context, "mplug", options, mplug_objective::tokens_of(mplug_objective::comparing(context.model).architecture())),
      options_(options),
      model_(mplug_objective::comparing(context.model)),
      pretrainer_(dynamic_cast<MplugPretrainer*>(&context.model)) {
  if (shared_.pretrains() && !pretrainer_) fail_usage("objective.options.stage: pretrain needs a model with all parts (model.config.task: pretrain); for others take stage: retrieval");
  if (options_.max_prefix_length < 2) fail_usage("objective.options.max_prefix_length must be at least 2, and is ", options_.max_prefix_length);
}

std::vector<LossTerm> MplugObjective::losses(const Batch& batch) {
  const int64_t rows = batch.size();
  const auto device = batch.images.device();
  const bool pretrains = shared_.pretrains();
  if (pretrains) model_.clamp_temperature();
  const std::vector<std::string> texts = captions(batch);
  const TextRows text = rows_of(texts, shared_.max_length, false, device);
  MplugPairOptions options;
  options.alpha = alpha();
  options.momentum = shared_.momentum;
  options.gather = [this](const Tensor& x) { return communicator_.all_gather_rows(x); };
  const MplugPairStates states = mplug_contrast(model_, {batch.images, text.ids, text.mask, pretrains ? Tensor() : batch.image_index.to(device)}, options);

  std::vector<LossTerm> out;
  const auto add = [&](const char* name, const Tensor& value, double weight) {
    if (weight != 0) out.push_back({name, weight == 1 ? value : value * weight, static_cast<double>(rows)});
  };
  add("ita", states.contrast.loss(), shared_.ita_weight);
  if (shared_.itm_weight != 0 && rows > 1) {
    const auto wrong = matching_negatives(states.contrast.i2t.similarity, states.contrast.t2i.similarity, uniforms(rows, device), uniforms(rows, device),
                                          pretrains ? Tensor() : batch.image_index.to(device), NoNegative::error);
    add("itm", matching_loss(mplug_matching_logits(model_, states, wrong.image, wrong.text)), shared_.itm_weight);
  }
  if (pretrains && shared_.mlm_weight != 0) {
    const MaskedTokens hidden = hide_words(text);
    add("mlm", mplug_masked_loss(*pretrainer_, states, hidden.input_ids, hidden.labels, alpha()), shared_.mlm_weight);
  }
  if (pretrains && options_.prefix_weight != 0) {
    std::vector<std::string> read, written;
    for (size_t i = 0; i < texts.size(); ++i) {
      SplitMix64 random = stream_of(batch.samples[i]);
      auto [prefix, rest] = split_for_prefix(texts[i], random);
      read.push_back(std::move(prefix));
      written.push_back(std::move(rest));
    }
    const TextRows prefix = rows_of(read, options_.max_prefix_length, false, device), rest = rows_of(written, options_.max_prefix_length, true, device);
    add("prefix", mplug_prefix_loss(model_, states.image, prefix.ids, prefix.mask, rest.ids, rest.mask), options_.prefix_weight);
  }
  if (out.empty()) fail_usage("all weights of the objective are 0: nothing is learnt");
  return out;
}

std::vector<std::pair<std::string, double>> MplugObjective::metrics() const { return {{"temp", model_.temp.item<double>()}, {"alpha", alpha()}}; }

std::unique_ptr<Objective> make_mplug_objective(const ObjectiveContext& context, const Config& options) {
  MplugObjectiveOptions parsed;
  options.read(parsed);
  return std::make_unique<MplugObjective>(context, parsed);
}

}  // namespace vlm
