#pragma once
/// The architecture of an OFA model, under the keys of HF's config.json or of a fairseq checkpoint's arguments (specs: ofa, 1).

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "vlm/models/layers/block_options.h"

namespace vlm {

/// Deep prefix prompts of one stack (arXiv 2208.02532; specs: ofa, 8.1).
struct OfaPromptConfig {
  bool on = false, projection = false;
  int64_t length = 100, hidden = 0;  ///< hidden: width of the projection; 0: twice the model's
  double dropout = 0.2;              ///< in training; fixed in the reference
};

struct OfaConfig {
  int64_t vocab_size = 59457, num_codes = 8192, num_bins = 1000;
  int64_t bos = 0, pad = 1, eos = 2, unk = 3;
  int64_t width = 768;
  int64_t encoder_layers = 6, encoder_heads = 12, encoder_ffn = 3072;
  int64_t decoder_layers = 6, decoder_heads = 12, decoder_ffn = 3072;
  int64_t max_source_positions = 1024, max_target_positions = 1024;
  int64_t token_bucket_size = 256, image_bucket_size = 42, code_image_size = 128;
  double attn_scale_factor = 2;
  Activation activation = Activation::gelu;
  bool relu = false;  ///< activation "relu" in place of the above
  bool encoder_pre_norm = true, decoder_pre_norm = true;
  bool scale_attn = true, scale_fc = true, scale_heads = true, scale_resids = false;  ///< NormFormer (arXiv 2110.09456)
  bool scale_embedding = false;  ///< embeddings times sqrt(width)
  bool layernorm_embedding = true, patch_layernorm_embedding = true, code_layernorm_embedding = true;
  bool add_type_embedding = true;
  bool encoder_entangled = false, decoder_entangled = false;  ///< positions are added to the inputs as well
  bool interpolate_position = false;
  int64_t orig_patch_image_size = 256;
  std::string resnet_type = "resnet101";
  std::vector<int64_t> resnet_layers = {3, 4, 23};
  int64_t resnet_stem_width = 64;
  bool freeze_resnet = false, sync_bn = false;
  double dropout = 0.1, attention_dropout = 0, activation_dropout = 0;
  double init_std = 0.02;  ///< of the linear and embedding weights that a new model begins with; narrow models need more, some 1 / sqrt(width)
  double encoder_drop_path = 0, decoder_drop_path = 0, resnet_drop_path = 0;
  OfaPromptConfig encoder_prompt, decoder_prompt;
  bool adapter = false;
  int64_t adapter_dim = 200;
  bool mue = false;                ///< text and picture run apart through the encoder (MuE, arXiv 2211.11152)
  int64_t patch_image_size = 0;    ///< side of the pictures that it was trained with; 0: the file does not say

  /// `name` is the file, for messages. Beside HF's keys those of fairseq's that HF has not are read (adapter, freeze_resnet …),
  /// and `size`, a published size that keys left out are of; HF's own defaults are those of medium. Throws for what this
  /// implementation does not have (ViT trunks, shared bias tables).
  static OfaConfig from_hf(const std::string& json, const std::string& name);
  /// Throws a usage error for a key that from_hf does not read, naming the nearest one.
  static void check_keys(const nlohmann::ordered_json& config);
  /// The arguments of a fairseq checkpoint as one flat JSON object; sizes left out are those of its `arch`.
  static OfaConfig from_fairseq(const std::string& json, const std::string& name);
  /// What HF's layout has no key for: adapters, prompts, scaled residuals, heads without a scale …; empty: it can say all.
  std::string hf_gap() const;
  /// Throws where there is a gap.
  nlohmann::ordered_json to_hf() const;
  nlohmann::ordered_json to_fairseq() const;
  /// One of the published sizes: tiny, medium, base, large, huge. Throws a usage error for another name.
  static OfaConfig sized(const std::string& size);

  /// Whether begin, padding, end and unknown are 0 to 3, as in all released models.
  bool usual_ids() const { return bos == 0 && pad == 1 && eos == 2 && unk == 3; }
  int64_t first_bin() const { return vocab_size - num_bins; }
  int64_t first_code() const { return vocab_size - num_bins - num_codes; }
};

}  // namespace vlm
