#pragma once
/// Models that can say how likely whole answers to a question are; infer/answer_ranking.h picks the best ones out of a list.

#include <ATen/core/Tensor.h>

#include <utility>

namespace vlm {

using at::Tensor;

class AnswerRanker {
 public:
  virtual ~AnswerRanker() = default;
  /// What answers look at: states [B, Le, D] of pictures [B, 3, S, S] and questions [B, L], and their mask [B, Le] (undefined: all).
  virtual std::pair<Tensor, Tensor> read_question(const Tensor& pixels, const Tensor& question, const Tensor& mask) const = 0;
  /// Logits [N, La, V] of answers [N, La], a row of states and mask for each; those at place t are for the id at t + 1.
  virtual Tensor decode_answers(const Tensor& answers, const Tensor& answer_mask, const Tensor& states, const Tensor& mask) const = 0;
};

}  // namespace vlm
