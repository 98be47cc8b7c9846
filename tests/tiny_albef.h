#pragma once
/// Small models of ALBEF's kin with drawn weights.

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "tiny_models.h"
#include "vlm/models/albef/albef.h"
#include "vlm/models/layers/basic.h"

namespace vlm::testing {

inline AlbefConfig tiny_albef_config(AlbefTask task = AlbefTask::pretrain) {
  AlbefConfig config = AlbefConfig::from_json(R"({"image_res": 32, "patch_size": 8, "vision_width": 64, "vision_depth": 2, "vision_heads": 1,
    "mlp_ratio": 2, "embed_dim": 8, "queue_size": 12, "cls_token_id": 2, "sep_token_id": 3, "mask_token_id": 4,
    "bert_config": {"vocab_size": 30, "hidden_size": 64, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 1,
                    "max_position_embeddings": 24, "encoder_width": 64, "fusion_layer": 2}})", "test");
  config.task = task;
  config.idx_queue = task == AlbefTask::retrieval;
  config.decoder_layers = 2;
  config.two_picture_layers = 6;
  return config;
}

/// Weights are ten times as large as a new model's, so that pictures and texts differ.
inline std::unique_ptr<AlbefModel> tiny_albef(const AlbefConfig& config, uint64_t seed = 5) {
  seed_initialisation(seed);
  auto model = make_albef(config);
  for (auto& [name, tensor] : model->state()) {
    if (name.ends_with(".weight") && tensor.dim() == 2) tensor.detach().mul_(6);
  }
  return model;
}

template <class M>
std::unique_ptr<M> tiny_albef_of(const AlbefConfig& config, uint64_t seed = 5) {
  return std::unique_ptr<M>(static_cast<M*>(tiny_albef(config, seed).release()));
}

inline void write_tiny_albef(const std::filesystem::path& folder, AlbefTask task, uint64_t seed = 5) {
  save_hf_folder(folder, *tiny_albef(tiny_albef_config(task), seed), nlohmann::ordered_json());
  write_file_atomically(folder / "vocab.txt", tiny_vocabulary());
  write_file_atomically(folder / "tokenizer_config.json", R"({"tokenizer_class": "BertTokenizer", "do_lower_case": true})");
}

}  // namespace vlm::testing
