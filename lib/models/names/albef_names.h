#pragma once
/// Weight names of ALBEF's kin: from the pre-training checkpoint to the models of the tasks, and from the networks that pre-training
/// begins with (specs: alignment, 1.1, 1.2 and 3.1).

#include <string>
#include <utility>
#include <vector>

#include "vlm/io/tensor_map.h"

namespace vlm {

class AlbefModel;
struct AlbefConfig;

/// Where the weights of a task's model come from.
enum class AlbefRenaming {
  single,  ///< retrieval, entailment, grounding: text_encoder.bert.x becomes text_encoder.x
  nlvr,    ///< that, and a fusion layer becomes two
  vqa,     ///< that, and the decoder begins as the fusion layers
};

/// "single", "single_retrieval" (the same), "nlvr", "vqa".
AlbefRenaming albef_renaming_named(const std::string& name);

/// New name and old name of every tensor of the task's model, sorted by the new one; what the model has no place for keeps its name.
std::vector<std::pair<std::string, std::string>> albef_task_names(const std::vector<std::string>& names, AlbefRenaming renaming,
                                                                  int64_t fusion_layer = 6);

/// Whether names are those of a model of the family, of pre-training or of a task.
bool is_albef(const TensorMap& weights);
/// Whether they are those of a DeiT, or of a BERT ("bert.encoder…"), alone.
bool is_timm_vision(const TensorMap& weights);
bool is_plain_bert(const TensorMap& weights);

/// The tensors of a file under the names of `model`, of which nothing is derived: a model of the same task takes its own names; a
/// pre-trained one is renamed; a DeiT becomes the image tower, a BERT the text encoder (and the decoder). Positions are resized to
/// the model's pictures, momentum copies begin as what they are copies of where the file has none. What the file has beyond that
/// and is known to have no place (classifiers, poolers, heads of pre-training) is left out; anything else stays, for the loader to
/// report.
TensorMap albef_weights_for(const AlbefModel& model, const TensorMap& weights);

/// The tensors as the public code writes them: tied ones under both names (names/bert_names.h), and, of a model that looks at two
/// pictures, shared keys and values under both layers.
TensorMap with_second_albef_names(const AlbefConfig& config, const TensorMap& weights);

}  // namespace vlm
