#pragma once
/// Losses by which fusion models are fine-tuned (ALBEF, arXiv 2107.07651; mPLUG, arXiv 2205.12005; specs: alignment, 3.2 to 3.4), taught by
/// momentum copies where the model has them: these move first, then see the batch. `copies`: the same model, or null.

#include <ATen/core/Tensor.h>

#include "vlm/models/pair_classifier.h"
#include "vlm/models/trainable.h"

namespace vlm {

class MomentumTaught;
class AlbefTextAssigner;

struct TaskStepOptions {
  double alpha = 0.4;       ///< share of the momentum copies' targets; with a model without a teacher it must be 0
  double momentum = 0.995;
  double label_smoothing = 0;  ///< of answers: share of the labels' targets that is spread over the vocabulary
};

struct TaskStep {
  Tensor loss;    ///< a scalar
  Tensor logits;  ///< of the networks that learn
};

/// Questions with any number of answers each: sum over answers of weight x loss of its tokens, divided by the number of questions.
/// weights: [N], of the batch's N answers.
TaskStep answer_step(AnswerTrainable& model, const MomentumTaught* copies, const AnswerBatch& batch, const Tensor& weights, const TaskStepOptions& options = {});

/// (1 - alpha) cross entropy + alpha cross entropy against the copies' distribution; pixels, ids and mask as PairClassifier takes
/// them, labels: [B], int64.
TaskStep classify_step(const PairClassifier& model, const MomentumTaught* copies, const Tensor& pixels, const Tensor& ids, const Tensor& mask,
                       const Tensor& labels, const TaskStepOptions& options = {});

/// Pairs of pictures for the sentences of a batch.
struct PicturePairs {
  Tensor weights;        ///< [B, B]: softmax of the pictures' similarities / 0.07 without the diagonal; a constant
  Tensor first, second;  ///< [B], int64
  Tensor labels;         ///< [B], int64: 0 the sentence is about the first, 1 about the second, 2 about neither
};

/// uniforms: [B, 4], from [0, 1): whether one negative is drawn (> 1/3) or two, on which side the right picture stands (> 0.5: first),
/// and where the first and the second negative lie in the row's distribution. B >= 3, or all rows get one negative.
/// pictures: [B, d], unit rows.
PicturePairs draw_picture_pairs(const Tensor& pictures, const Tensor& uniforms);
/// The weights alone.
Tensor picture_pair_weights(const Tensor& pictures);

/// Cross entropy of ta_head. image: [B, N, W], of encode_image(); first, second, labels: [B].
TaskStep assign_step(const AlbefTextAssigner& model, const Tensor& image, const Tensor& ids, const Tensor& mask, const Tensor& first,
                     const Tensor& second, const Tensor& labels);

}  // namespace vlm
