#pragma once
/// Small models with drawn weights, as folders in released layouts.

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "vlm/core/config.h"
#include "vlm/io/atomic_file.h"
#include "vlm/models/model_folder.h"

namespace vlm::testing {

/// Thirty words; [DEC] is 28 and [ENC] 29.
inline std::string tiny_vocabulary() {
  return "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\ncat\ndog\non\nthe\nsofa\nred\nblue\nball\nwhat\ncolour\nis\nit\n?\nsits\nbig\nsmall\ngreen\ntwo\nof\nand\n"
         "##s\n.\n[DEC]\n[ENC]\n";
}

inline std::string tiny_blip_config(const std::string& architecture) {
  return R"({"architectures": [")" + architecture + R"("], "model_type": "blip", "image_text_hidden_size": 8,
    "text_config": {"vocab_size": 30, "hidden_size": 16, "encoder_hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
                    "num_attention_heads": 2, "max_position_embeddings": 24, "bos_token_id": 28, "sep_token_id": 3, "pad_token_id": 0},
    "vision_config": {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
                      "image_size": 32, "patch_size": 8}})";
}

/// `architecture`: BlipForConditionalGeneration, BlipForQuestionAnswering or BlipForImageTextRetrieval.
inline void write_tiny_blip(const std::filesystem::path& folder, const std::string& architecture, uint64_t seed = 5) {
  const auto model = make_model("blip", Config::parse(tiny_blip_config(architecture), "test"), seed);
  save_hf_folder(folder, *model, {{"do_resize", true}, {"size", {{"height", 32}, {"width", 32}}}, {"resample", 3}, {"do_normalize", true},
                                  {"image_mean", {0.5, 0.5, 0.5}}, {"image_std", {0.25, 0.25, 0.25}}});
  write_file_atomically(folder / "vocab.txt", tiny_vocabulary());
  write_file_atomically(folder / "tokenizer_config.json", R"({"tokenizer_class": "BertTokenizer", "do_lower_case": true})");
}

constexpr const char* tiny_coca = R"(
embed_dim: 16
custom_text: true
vision_cfg: {image_size: 16, layers: 1, width: 16, head_width: 8, patch_size: 8, attentional_pool: true, attn_pooler_heads: 4, attn_pooler_queries: 5, output_tokens: true}
text_cfg: {context_length: 12, vocab_size: 40, width: 16, heads: 4, layers: 2, embed_cls: true, output_tokens: true}
multimodal_cfg: {context_length: 12, vocab_size: 40, width: 16, heads: 2, layers: 2}
)";

}  // namespace vlm::testing
