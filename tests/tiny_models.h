#pragma once
/// Small models with drawn weights, as folders in released layouts.

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "vlm/core/config.h"
#include "vlm/io/atomic_file.h"
#include "vlm/models/model_folder.h"
#include "vlm/text/bpe.h"

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

/// Ids of a tiny OFA: 4 specials, 256 bytes, one pair that no test writes, <mask>, 8 codes, 50 bins.
inline constexpr int64_t tiny_ofa_mask = 261, tiny_ofa_codes = 8, tiny_ofa_bins = 50;

inline std::string tiny_ofa_config(int64_t side = 32) {
  return R"({"model_type": "ofa", "vocab_size": 320, "num_codes": 8, "num_bins": 50, "d_model": 16, "encoder_layers": 1, "decoder_layers": 2,
    "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24, "max_position_embeddings": 200,
    "token_bucket_size": 16, "image_bucket_size": 8, "code_image_size": 32, "resnet_type": "custom", "resnet_layers": [1, 1, 1],
    "resnet_stem_width": 4, "normformer": true)" +
         (side > 0 ? ", \"patch_image_size\": " + std::to_string(side) : std::string()) + "}";
}

/// In HF's layout as released: no file says how pictures are prepared. side 0: nor how large they are. The weights are a hundred
/// times as large as a new model's, so that replies differ from picture to picture.
inline void write_tiny_ofa(const std::filesystem::path& folder, uint64_t seed = 5, int64_t side = 32) {
  const auto model = make_model("ofa", Config::parse(tiny_ofa_config(side), "test"), seed);
  for (auto& [name, tensor] : model->state()) {
    if (name.ends_with("proj.weight") || name.ends_with("fc1.weight") || name.ends_with("fc2.weight")) tensor.detach().mul_(20);
    if (name.ends_with("embed_tokens.weight")) tensor.detach().mul_(10);
  }
  save_hf_folder(folder, *model, nlohmann::ordered_json::object());
  std::filesystem::remove(folder / "preprocessor_config.json");
  const ByteSymbols bytes;
  nlohmann::ordered_json vocabulary;
  for (const char* piece : {"<s>", "<pad>", "</s>", "<unk>"}) vocabulary[piece] = vocabulary.size();
  for (const unsigned char byte : bytes.order) vocabulary[bytes.symbol[byte]] = vocabulary.size();
  vocabulary["ZQ"] = vocabulary.size();
  vocabulary["<mask>"] = vocabulary.size();
  for (int i = 0; i < tiny_ofa_codes; ++i) vocabulary["<code_" + std::to_string(i) + ">"] = vocabulary.size();
  for (int i = 0; i < tiny_ofa_bins; ++i) vocabulary["<bin_" + std::to_string(i) + ">"] = vocabulary.size();
  write_file_atomically(folder / "vocab.json", vocabulary.dump());
  write_file_atomically(folder / "merges.txt", "#version: 0.2\nZ Q\n");
}

}  // namespace vlm::testing
