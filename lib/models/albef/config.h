#pragma once
/// The architecture of ALBEF and its kin (TCL, CODIS), under the keys of the released configurations (specs: alignment, 1 and 10):
/// image_res, patch_size, vision_width, …, embed_dim, queue_size, temp, bert_config.

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "vlm/io/tensor_map.h"
#include "vlm/models/layers/bert.h"
#include "vlm/models/layers/timm.h"

namespace vlm {

/// What a model of the family is for, which decides its heads and how its text encoder is called.
enum class AlbefTask {
  pretrain,         ///< contrast, matching, masked language modelling
  retrieval,        ///< contrast and matching; grounding, too
  vqa,              ///< a decoder writes answers
  entailment,       ///< three classes of a picture and a sentence
  nlvr,             ///< true or false, of two pictures and a sentence
  text_assignment,  ///< which of two pictures a sentence belongs to: the pre-training for nlvr
};

struct AlbefConfig {
  AlbefTask task = AlbefTask::pretrain;
  TimmOptions vision = {.image_height = 256, .image_width = 256};
  BertOptions text;                  ///< of the text encoder, fusion layers included
  int64_t decoder_layers = 6;        ///< of the answer decoder; where nothing is said, as many as fuse
  int64_t two_picture_layers = 18;   ///< of the text encoder that looks at two pictures; where nothing is said, each that fuses twice
  int64_t embed_dim = 256;           ///< width of the space in which pictures and texts are compared
  double temp = 0.07;                ///< initial temperature
  int64_t queue_size = 65536;        ///< columns of the queues; 0: there are none
  bool idx_queue = false;            ///< a queue of the pictures' numbers beside those of features
  bool momentum = true;              ///< whether there are momentum copies
  int64_t codebook_size = 0;         ///< codes of CODIS; 0: no codebook
  bool independent_features = false; ///< second projections, for what one modality alone knows (arXiv 2303.05952)
  int64_t pad = 0, cls = 101, sep = 102, mask = 103;

  AlbefConfig();
  /// Keys that say nothing about the architecture (learning rates …) are passed over. `name`: the file, for messages.
  static AlbefConfig from_json(const std::string& json, const std::string& name);
  /// Sizes as weights have them, heads being 64 wide.
  static AlbefConfig from_weights(const TensorMap& weights);
  nlohmann::ordered_json to_json() const;
  /// Throws a usage error for a key, or a key of bert_config, that no folder of the family writes: for those that people write.
  static void check_keys(const nlohmann::ordered_json& config);

  /// With what only weights tell: the task, whether there are momentum copies, queues and a codebook, and the layers of the task's
  /// own stacks. Names are those of a model of the task (names/albef_names.h).
  AlbefConfig fitting(const TensorMap& weights) const;

  /// The answer decoder's, and the text encoder's as the task has it.
  BertOptions decoder_options() const;
  BertOptions encoder_options() const;
};

std::string to_string(AlbefTask task);
AlbefTask albef_task_named(const std::string& name);

}  // namespace vlm
