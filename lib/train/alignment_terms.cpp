#include "vlm/train/alignment_terms.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/stack.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "vlm/losses/composed_retrieval.h"
#include "vlm/losses/latent_structure.h"
#include "vlm/losses/pair_contrast.h"
#include "vlm/losses/supervised_contrast.h"
#include "vlm/train/autocast.h"
#include "vlm/train/contrast_over_ranks.h"

namespace vlm {

namespace alignment_term {

/// What a recipe says of a term: its weight, and the keys of its loss.
template <class Options>
struct Keys : Options {
  double weight = 1;

  void fields(Fields& f) {
    f.field("weight", weight, "what the term is multiplied by");
    if constexpr (HasFields<Options>) Options::fields(f);
  }
};

template <class Options>
Options read(const Config& config) {
  Keys<Options> keys;
  config.read(keys);
  return keys;
}

struct None {};

struct Separation {
  double uniformity_t = 2;
  void fields(Fields& f) { f.field("uniformity_t", uniformity_t, "how fast the closeness of two features falls with their distance"); }
};

struct Bridge {
  double t = 0.25;
  void fields(Fields& f) { f.field("t", t, "time on the bridge from text (0) to picture (1)"); }
};

struct HardNegative : HardNegativeOptions {
  void fields(Fields& f) {
    f.field("alpha", alpha, "weight of the positive in the denominator");
    f.field("beta", beta, "how much more hard negatives count");
    f.field("detach_weights", detach_weights, "the weights of negatives are constants");
  }
};

struct Debiased {
  double tau_plus = 0.1;
  void fields(Fields& f) { f.field("tau_plus", tau_plus, "share of the negatives that belong to the row"); }
};

struct Supervised : SupervisedContrastOptions {
  bool merge_equal_texts = true;
  void fields(Fields& f) {
    f.field("temperature", temperature, "similarities are divided by it; it is not learnt");
    f.field("base_temperature", base_temperature, "the loss is multiplied by temperature / base_temperature");
    f.field("first_view_anchors", first_view_anchors, "only pictures are anchors, not texts");
    f.field("merge_equal_texts", merge_equal_texts, "rows of the same text are of one class; false: each pair is its own");
  }
};

AlignmentLoss latent(const Config& config) {
  read<None>(config);
  return [](const AlignmentFeatures& f) { return latent_contrast(f["image"], f["text"], f["image_aug"], f["text_aug"], f.temperature).loss(); };
}

AlignmentLoss separation(const Config& config) {
  return [o = read<Separation>(config)](const AlignmentFeatures& f) {
    return feature_separation(f["image"], f["text"], f["image_ind"], f["text_ind"], f["image_ind_aug"], f["text_ind_aug"], f.temperature, o.uniformity_t).loss();
  };
}

AlignmentLoss bridge(const Config& config) {
  return [o = read<Bridge>(config)](const AlignmentFeatures& f) { return brownian_bridge(f["image"], f["text"], f["image_aug"], o.t).loss(); };
}

AlignmentLoss geometry(const Config& config) {
  read<None>(config);
  return [](const AlignmentFeatures& f) { return geometric_consistency(f["image"], f["text"], f["image_aug"], f["text_aug"]).loss(); };
}

AlignmentLoss cyclic(const Config& config) {
  read<None>(config);
  return [](const AlignmentFeatures& f) { return geometric_consistency(f["image"], f["text"], f["image"], f["text"]).original; };
}

AlignmentLoss decoupled(const Config& config) {
  read<None>(config);
  return [](const AlignmentFeatures& f) { return decoupled_contrast(f["image"], f["text"], f.temperature).loss(); };
}

AlignmentLoss hard_negative(const Config& config) {
  return [o = read<HardNegative>(config)](const AlignmentFeatures& f) { return hard_negative_contrast(f["image"], f["text"], f.temperature, o).loss(); };
}

AlignmentLoss debiased(const Config& config) {
  return [o = read<Debiased>(config)](const AlignmentFeatures& f) { return debiased_contrast(f["image"], f["text"], f.temperature, o.tau_plus).loss(); };
}

/// A picture and its text are two views of one sample.
AlignmentLoss supervised(const Config& config) {
  return [o = read<Supervised>(config)](const AlignmentFeatures& f) {
    return supervised_contrast_loss(at::stack({f["image"], f["text"]}, 1), o.merge_equal_texts ? f.classes : Tensor(), o);
  };
}

struct Asymmetric : AsymmetricContrastOptions {
  void fields(Fields& f) {
    f.field("temperature", temperature, "similarities are divided by it; it is not learnt");
  }
};

AlignmentLoss asymmetric(const Config& config) {
  return [o = read<Asymmetric>(config)](const AlignmentFeatures& f) {
    const Tensor own = at::arange(f["image"].size(0), f["image"].options().dtype(at::kLong));
    return asymmetric_contrast_loss(at::stack({f["image"], f["text"]}, 1), f["outliers"], f.classes.defined() ? f.classes : own, {}, {}, o);
  };
}

struct Composed {
  double gamma = 0.5;
  void fields(Fields& f) { f.field("gamma", gamma, "share of the augmented targets, whose spread says how much they count; the rest is plain contrast"); }
};

AlignmentLoss composed(const Config& config) {
  return [o = read<Composed>(config)](const AlignmentFeatures& f) { return composed_retrieval_loss(f["composed"], f["image"], f["image_aug"], o.gamma).loss(); };
}

}  // namespace alignment_term

Registry<AlignmentTermKind>& alignment_terms() {
  static Registry<AlignmentTermKind> table = [] {
    using namespace alignment_term;
    Registry<AlignmentTermKind> out("term");
    const std::vector<std::string> pair = {"image", "text"}, augmented = {"image", "text", "image_aug", "text_aug"};
    out.add("latent_contrast", {augmented, latent});
    out.add("separation", {{"image", "text", "image_ind", "text_ind", "image_ind_aug", "text_ind_aug"}, separation});
    out.add("brownian_bridge", {{"image", "text", "image_aug"}, bridge});
    out.add("geometric_consistency", {augmented, geometry});
    out.add("cyclic_consistency", {pair, cyclic});
    out.add("decoupled", {pair, decoupled});
    out.add("hard_negative", {pair, hard_negative});
    out.add("debiased", {pair, debiased});
    out.add("supervised_contrast", {pair, supervised});
    out.add("asymmetric_contrast", {{"image", "text", "outliers"}, asymmetric});
    out.add("composed_retrieval", {{"composed", "image", "image_aug"}, composed});
    return out;
  }();
  return table;
}

AlignmentTerms::AlignmentTerms(const Config& terms, const std::set<std::string>& provided, const std::string& giver) {
  const nlohmann::ordered_json list = terms.empty() ? nlohmann::ordered_json::object() : terms.to_json();
  if (!list.is_object()) fail_usage("terms are NAME: weight, or NAME: {weight: …}");
  for (const auto& [name, value] : list.items()) {
    const AlignmentTermKind& kind = alignment_terms().get(name);
    std::vector<std::string> missing;
    for (const auto& feature : kind.needs) {
      if (!provided.count(feature)) missing.push_back(feature);
    }
    if (!missing.empty()) {
      const bool own = std::any_of(missing.begin(), missing.end(), [](const std::string& feature) { return feature.find("_ind") != std::string::npos; });
      fail_usage("the term '", name, "' needs ", join(missing, ", "), ", which ", giver, " does not give; there are: ",
                 join({provided.begin(), provided.end()}, ", "),
                 own ? ". Features of a modality's own come with model.config.independent_features: true (families clip and albef)" : "");
    }
    // A number stands for {weight: number}.
    const Config options = value.is_object() ? terms.section(name) : Config::parse(concat("weight: ", value.dump()), "terms." + name);
    const double weight = with_context("terms." + name, [&] {
      alignment_term::Keys<alignment_term::None> only_weight;
      Config::parse(concat("weight: ", options.get("weight", "1")), "terms." + name).read(only_weight);
      terms_.push_back({name, only_weight.weight, kind.make(options)});
      return only_weight.weight;
    });
    if (weight != 0) needed_.insert(kind.needs.begin(), kind.needs.end());
    if (weight == 0) terms_.pop_back();
  }
}

std::vector<LossTerm> AlignmentTerms::losses(Communicator& communicator, const std::map<std::string, Tensor>& features, const Tensor& temperature,
                                             const Tensor& ids) const {
  if (terms_.empty()) return {};
  const AutocastOff float32(temperature.device().type());
  AlignmentFeatures all;
  all.temperature = temperature.to(at::kFloat);
  int64_t rows = 0;
  for (const auto& name : needed_) {
    const auto found = features.find(name);
    if (found == features.end()) fail("the features '", name, "' that the terms need are not there");
    rows = found->second.size(0);
    const Tensor own = found->second.to(at::kFloat);
    all.features[name] = communicator.size() == 1 ? own : gather_rows_with_grad(communicator, own);
  }
  if (ids.defined()) all.classes = equal_row_groups(communicator.size() == 1 ? ids : communicator.all_gather_rows(ids));
  std::vector<LossTerm> out;
  for (const auto& term : terms_) out.push_back({term.name, term.weight * term.loss(all), static_cast<double>(rows)});
  return out;
}

}  // namespace vlm
