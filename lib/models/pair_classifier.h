#pragma once
/// Models that say what a sentence has to do with a picture, or with two: visual entailment (SNLI-VE: contradiction, neutral,
/// entailment), NLVR2 (false, true).

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

namespace vlm {

using at::Tensor;

class PairClassifier {
 public:
  virtual ~PairClassifier() = default;
  /// Pictures of each sentence.
  virtual int64_t pictures() const = 0;
  virtual int64_t classes() const = 0;
  /// pixels: [n B, 3, S, S], where n = pictures(): all first ones before all second ones; ids, mask: [B, L], 0 in the mask for padding.
  /// Returns [B, classes()].
  virtual Tensor logits(const Tensor& pixels, const Tensor& ids, const Tensor& mask) const = 0;
  /// Whether slow copies can say the same, as momentum_logits(): a constant.
  virtual bool has_teacher() const { return false; }
  virtual Tensor momentum_logits(const Tensor& pixels, const Tensor& ids, const Tensor& mask) const {
    (void)pixels, (void)ids, (void)mask;
    return {};
  }
  /// What is done to sentences before they are read: the name of rules of text/caption_cleaning.h.
  virtual std::string sentence_rules() const { return "none"; }
  /// Ids that a sentence can have, specials included.
  virtual int64_t longest_sentence() const = 0;
};

}  // namespace vlm
