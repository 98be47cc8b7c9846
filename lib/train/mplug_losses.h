#pragma once
/// What one step of mPLUG's trainings computes (arXiv 2205.12005; specs: mplug, 2 and 3). Slow copies follow before they are asked, and
/// queues take a batch in once the contrast has been made with what they held.

#include <functional>

#include "vlm/losses/image_text_contrast.h"
#include "vlm/losses/image_text_matching.h"
#include "vlm/models/mplug/mplug.h"

namespace vlm {

struct MplugPairBatch {
  Tensor pixels;     ///< [B, 3, S, S]
  Tensor ids, mask;  ///< [B, L], int64
  Tensor idx;        ///< [B], int64: the pictures' numbers, of retrieval; undefined: each pair is one of its own
};

struct MplugPairOptions {
  double alpha = 0.4;       ///< share of the slow copies' targets
  double momentum = 0.995;  ///< of the slow copies
  /// Features of all ranks in their order, for the queues; empty: this process is alone.
  std::function<Tensor(const Tensor&)> gather;
};

/// Pairs, read by the networks that learn.
struct MplugPairStates {
  Tensor image, text, mask;  ///< [B, P, H], [B, L, H], [B, L]
  Tensor image_m;            ///< [B, P, H], of the slow copies, a constant
  ImageTextContrast contrast;
};

/// Lets the copies follow, contrasts both sides with the queues, and puts the batch into them. Throws for a model without copies.
MplugPairStates mplug_contrast(MplugModel& model, const MplugPairBatch& batch, const MplugPairOptions& options = {});
/// Logits [3 B, 2] of the pairs, of the texts beside wrong pictures (numbers [B]), of the pictures beside wrong texts ([B]).
Tensor mplug_matching_logits(const MplugModel& model, const MplugPairStates& states, const Tensor& wrong_image, const Tensor& wrong_text);
/// Masked language modelling beside the pictures, distilled as the reference does it, over the places of a text
/// (DistillAxis::sequence). ids: [B, L], with masks; labels: [B, L], -100 where there is none.
Tensor mplug_masked_loss(const MplugPretrainer& model, const MplugPairStates& states, const Tensor& ids, const Tensor& labels, double alpha);
/// The beginning of a caption is read beside the picture, the rest is written. [B, Lp], [B, Lt]; mean over the words of the rest.
Tensor mplug_prefix_loss(const MplugModel& model, const Tensor& image, const Tensor& prefix, const Tensor& prefix_mask, const Tensor& target,
                         const Tensor& target_mask);

struct MplugAnswerLoss {
  Tensor loss;    ///< scalar: sum of weight * row / number of pictures
  Tensor rows;    ///< [N]: sums over the words of an answer
  Tensor logits;  ///< [N, La, V]
};
/// weights: [N]. The reference hands its momentum networks a weight of 0, so they are not asked.
MplugAnswerLoss mplug_answer_loss(MplugAnswerer& model, const AnswerBatch& batch, const Tensor& weights);

/// Labels of texts that are written: -100 for padding, and for the first `prompt_length` places. ids: [B, L].
Tensor mplug_labels(const Tensor& ids, int64_t pad, int64_t prompt_length = 0);

}  // namespace vlm
