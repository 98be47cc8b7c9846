#pragma once
/// Weight names of mPLUG's releases (specs: mplug, 1.7). This project's models have the names of fine-tuned checkpoints; the pretraining
/// model those of pretrained ones, in which the fusion encoder lies below "fusion_encoder.bert.".

#include <string>

#include "vlm/io/tensor_map.h"

namespace vlm {

enum class MplugNames {
  finetune,    ///< what captioning, VQA and retrieval do to a checkpoint that they begin from
  grounding,   ///< what grounding does; leaves a pretrained fusion encoder where it is not looked for
  modelscope,  ///< what ModelScope's packaging does
};

/// The name that a rule makes of one; empty: the tensor is dropped.
std::string mplug_name(const std::string& name, MplugNames rule);

/// Whether these are mPLUG's, under the names of any release.
bool is_mplug(const TensorMap& weights);
/// Any release's names to those of fine-tuned checkpoints; of the output layers tied to tables of words one copy stays.
/// Throws if two tensors get the same name.
TensorMap mplug_finetuned_names(const TensorMap& weights);

}  // namespace vlm
