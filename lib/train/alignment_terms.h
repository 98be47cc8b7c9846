#pragma once
/// Losses on features that a recipe adds to an objective by name:
///
///   objective: {name: clip, options: {terms: {geometric_consistency: 0.25, hard_negative: {weight: 0.5, beta: 0.5}}}}
///
///   term                    features                                          source
///   latent_contrast         image, text, image_aug, text_aug                  losses/latent_structure.h
///   separation              image, text, image_ind, text_ind, …_ind_aug
///   brownian_bridge         image, text, image_aug
///   geometric_consistency   image, text, image_aug, text_aug
///   cyclic_consistency      image, text                                       CyCLIP: the first half of geometric_consistency
///   decoupled, hard_negative, debiased   image, text                          losses/pair_contrast.h
///   supervised_contrast     image, text                                       losses/supervised_contrast.h
///   asymmetric_contrast     image, text, outliers
///   composed_retrieval      composed, image, image_aug                        losses/composed_retrieval.h
///
/// Names of features: image and text are the unit vectors of a batch; _aug those of augmented inputs, _ind of projections of their
/// own; outliers [O, E] belong to no class, composed are queries made of a picture and a text: no objective here gives these two, one of a
/// program's own may.

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "vlm/core/config.h"
#include "vlm/core/registry.h"
#include "vlm/train/objective.h"

namespace vlm {

/// What a batch of all ranks looks like to a term.
struct AlignmentFeatures {
  std::map<std::string, Tensor> features;  ///< NAME -> [B, E], unit rows, with gradients
  Tensor temperature;                      ///< scalar that similarities are divided by
  Tensor classes;                          ///< [B], int64: rows of the same number have the same text; undefined: not known

  const Tensor& operator[](const std::string& name) const { return features.at(name); }
};

using AlignmentLoss = std::function<Tensor(const AlignmentFeatures&)>;

struct AlignmentTermKind {
  std::vector<std::string> needs;            ///< names of features
  AlignmentLoss (*make)(const Config& options);  ///< reads the keys of the term but `weight`
};
/// The terms that recipes can name; add() one of a program's own before the recipe is read.
Registry<AlignmentTermKind>& alignment_terms();

/// The terms of one objective.
class AlignmentTerms {
 public:
  /// terms: NAME: weight, or NAME: {weight: …, keys of the term}. provided: the features that there will be; `giver` says who gives
  /// them, in messages ("a clip model with the objective 'clip'"). Throws a usage error for an unknown term or key, and for a term
  /// that needs what is not provided, naming it.
  AlignmentTerms(const Config& terms, const std::set<std::string>& provided, const std::string& giver);

  bool empty() const { return terms_.empty(); }
  /// True if some term looks at this feature.
  bool need(const std::string& feature) const { return needed_.count(feature) > 0; }

  /// One term of the loss for each. Features of all ranks are gathered with gradients, and every rank computes the loss of the whole
  /// batch; weighed by rows, the mean over ranks has the gradients of one process. features: of this rank, those that are needed;
  /// ids: [B_r, L], the texts, or undefined.
  std::vector<LossTerm> losses(Communicator& communicator, const std::map<std::string, Tensor>& features, const Tensor& temperature, const Tensor& ids) const;

 private:
  struct Term {
    std::string name;
    double weight;
    AlignmentLoss loss;
  };
  std::vector<Term> terms_;
  std::set<std::string> needed_;
};

}  // namespace vlm
