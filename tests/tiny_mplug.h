#pragma once
/// Small mPLUGs with drawn weights.

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "tiny_models.h"
#include "vlm/models/mplug/mplug.h"

namespace vlm::testing {

/// Two of four fusion layers' numbers lie below those that run; the second of them is a connected one. Heads are as wide as those of
/// released models, so that shapes alone give the configuration back.
inline nlohmann::ordered_json tiny_mplug_config(const std::string& task) {
  return {{"task", task},
          {"bert_config", {{"vocab_size", 30}, {"hidden_size", 64}, {"num_attention_heads", 1}, {"intermediate_size", 256}, {"num_hidden_layers", 4},
                           {"max_position_embeddings", 24}, {"text_encoder_layers", 2}, {"fusion_layers", 2}, {"text_decode_layers", 2}, {"stride_layer", 1}}},
          {"clip_name", "tiny"}, {"clip_vision_layers", 1}, {"clip_vision_width", 128}, {"clip_vision_patch_size", 8}, {"image_res", 16},
          {"embed_dim", 8}, {"queue_size", 6}, {"cls_token_id", 2}, {"sep_token_id", 3}, {"mask_token_id", 4},
          {"box_prefix_id", 5}, {"box_first_id", 6}, {"box_bins", 20}, {"beam_size", 2}, {"max_length", 5}};
}

inline std::unique_ptr<MplugModel> tiny_mplug(const std::string& task, bool distill = false, uint64_t seed = 3) {
  auto config = tiny_mplug_config(task);
  config["distill"] = distill;
  seed_initialisation(seed);
  return make_mplug(MplugConfig::from_json(config.dump(), "test"), {});
}

}  // namespace vlm::testing
