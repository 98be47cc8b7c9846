#pragma once
/// One step of pre-training or of retrieval fine-tuning of ALBEF (arXiv 2107.07651), TCL (arXiv 2202.10401) or CODIS (arXiv
/// 2203.00048): a batch in, named losses out. Specs: alignment, 2, 5 and 9.

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "vlm/losses/codebook.h"
#include "vlm/losses/image_text_contrast.h"
#include "vlm/losses/image_text_matching.h"
#include "vlm/losses/local_mutual_information.h"
#include "vlm/models/albef/albef.h"
#include "vlm/train/communicator.h"

namespace vlm {

enum class AlignmentMethod {
  albef,  ///< contrast across modalities
  tcl,    ///< that, within modalities, and against parts of other samples
  codis,  ///< contrast across and within with soft targets, and a codebook
};

/// "albef", "tcl" or "codis"; throws a usage error that lists them.
AlignmentMethod alignment_method_named(const std::string& name);

struct AlignmentOptions {
  AlignmentMethod method = AlignmentMethod::albef;
  double alpha = 0.4;                            ///< share of the momentum networks' targets, at this step
  double momentum = 0.995;
  LocalPooling pooling = LocalPooling::sqrt;     ///< TCL: of patches; fixed16 in fine-tuning
  bool clamp_temperature = true;                 ///< pre-training does, fine-tuning does not
  CodebookOptions codebook;                      ///< CODIS
  bool matching = true;                          ///< false: no "itm"
  Communicator* communicator = nullptr;          ///< whose ranks' features go into the queues; none: this process is alone
};

struct AlignmentBatch {
  Tensor image;                  ///< [B, 3, S, S]
  Tensor image_aug;              ///< what the momentum networks see: a second view (TCL); undefined: the same pictures
  Tensor ids, mask;              ///< [B, L], int64; 0 in the mask for padding
  Tensor idx;                    ///< [B], int64, numbers of the pictures: those of the same number are not told apart; undefined: none
  Tensor masked_ids, mlm_labels; ///< [B, L], of token_masking.h; undefined: no masked language modelling
  /// The wrong picture of each text and the wrong text of each picture, [B], int64; undefined: they are drawn, by numbers from [0, 1):
  Tensor negative_image, negative_text;
  Tensor uniform_image, uniform_text;  ///< [B]
};

struct AlignmentStep {
  /// What is minimised: "ita", "itm", "mlm", and "codebook" of CODIS. Their sum is the loss.
  std::vector<std::pair<std::string, Tensor>> losses;
  /// What "ita" is the mean of: "i2t", "t2i", "i2i", "t2t", "i2i_local", "t2t_local".
  std::vector<std::pair<std::string, Tensor>> parts;
  QueueContrastFeatures features;     ///< of the batch; the queues are those after the step
  /// The features as terms of a recipe call them (train/alignment_terms.h): image, text, _aug those of the momentum networks, _ind of a
  /// model with independent_features.
  std::map<std::string, Tensor> named;
  Tensor targets;                     ///< [B, B + Q]: hard
  MatchingNegatives negatives;
  Tensor match_logits;                ///< [3 B, 2]: pairs, texts with a wrong picture, pictures with a wrong text
  Tensor total() const;
};

/// In the order that decides about values: the temperature is limited, momentum networks move, then see the batch, losses look at the
/// queues, and only then the batch enters them. Changes the model's momentum copies, queues and temperature. Throws if the model
/// lacks queues, copies, a codebook or a head that the losses need.
AlignmentStep alignment_step(AlbefAligner& model, const AlignmentBatch& batch, const AlignmentOptions& options);

/// Matching alone: logits [3 B, 2] of B pairs, of each text with picture negative_image[b], and of text negative_text[b] with each
/// picture. text: [B, L, D]; pictures: B, without rows.
Tensor matching_logits(const AlbefAligner& model, const Tensor& text, const Tensor& mask, BertContext pictures, const Tensor& negative_image,
                       const Tensor& negative_text);

/// The model's momentum copies follow.
void update_momentum(const MomentumTaught& model, double momentum);

}  // namespace vlm
