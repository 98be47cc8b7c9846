#pragma once
/// The architecture of mPLUG (Li et al., arXiv 2205.12005) under the keys of its task configurations, with the BERT part nested as
/// `bert_config` and the image tower's sizes as clip_* keys (specs: mplug, 1.6).

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "vlm/io/tensor_map.h"
#include "vlm/models/clip/config.h"
#include "vlm/models/layers/bert.h"

namespace vlm {

/// What a model is for, and so which parts it has.
enum class MplugTask { caption, vqa, retrieval, pretrain, grounding, entailment, nlvr2 };

/// "caption", "vqa" … or the names of ModelScope's tasks ("image-captioning" …). Throws an Error that lists them.
MplugTask mplug_task_of(const std::string& name);
const char* name_of(MplugTask task);

struct MplugConfig {
  MplugTask task = MplugTask::vqa;
  bool task_known = false;          ///< false: the files do not say; the names of the weights decide

  // --- image tower (clip_*)
  std::string clip_name = "ViT-L-14";
  int64_t image_res = 336;          ///< side of the pictures; decides the position table
  int64_t vision_width = 1024, vision_layers = 24, vision_heads = 16, patch_size = 14;
  int64_t clip_embed_dim = 768;     ///< width of `proj`, where it is used
  bool skip_last_layer = true;      ///< true: ln_post of all tokens; false: all tokens x proj, without ln_post
  double vision_attention_dropout = 0.1;  ///< training; ModelScope's packaging has 0

  // --- text (bert_config)
  int64_t vocab_size = 30522, hidden_size = 768, heads = 12, intermediate = 3072, positions = 512;
  int64_t token_types = 2, pad = 0;
  int64_t hidden_layers = 12;       ///< numbers of fusion layers end here
  int64_t text_encoder_layers = 6, fusion_layers = 6, text_decode_layers = 12;
  int64_t stride_layer = 100;       ///< every stride-th fusion layer is a connected one
  double eps = 1e-12, hidden_dropout = 0.1, attention_dropout = 0.1, initializer_range = 0.02;

  // --- heads and training
  int64_t embed_dim = 256, queue_size = 65536;
  double temp = 0.07, momentum = 0.995, alpha = 0.4;
  bool distill = false;             ///< true: the model keeps momentum copies
  int64_t k_test = 128;

  // --- generation
  int64_t beam_size = 5, min_length = 1, max_length = 10;
  int64_t cls = 101, sep = 102, mask = 103;
  std::vector<int64_t> prompt_ids;  ///< of the video captioner, [CLS] included

  // --- grounding: a box is the prefix and four of box_bins + 1 ids
  int64_t box_prefix = 344, box_first = 345, box_bins = 336;

  /// Whether visn_fc brings the image states to the text's width.
  bool large() const { return vision_width != hidden_size; }
  int64_t first_fusion_layer() const { return hidden_layers > fusion_layers ? hidden_layers - fusion_layers : 0; }
  VisionConfig clip() const;
  /// Of `layers` layers; cross attention looks at states of the same width.
  BertOptions bert(int64_t layers, bool cross_attention) const;

  /// `name` is the file, for messages. Keys that change no result are passed over.
  static MplugConfig from_json(const std::string& json, const std::string& name);
  /// What the shapes of a bare checkpoint say; the rest as released: the base model has a connected layer, the large one none.
  static MplugConfig from_weights(const TensorMap& weights);
  nlohmann::ordered_json to_json() const;
  /// Throws a usage error for a key, or a key of bert_config, that no configuration of mPLUG has: for those that people write.
  static void check_keys(const nlohmann::ordered_json& config);
};

}  // namespace vlm
