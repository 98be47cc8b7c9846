#pragma once
/// The architecture of a CLIP model, under the keys of open_clip's model configuration (specs: clip, 8.1).

#include <cmath>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "vlm/core/config.h"
#include "vlm/models/layers/block_options.h"

namespace vlm {

/// Sizes of SigLIP's image tower (timm's vit_*_siglip_*).
struct SiglipVisionSizes {
  int64_t width = 768, layers = 12, heads = 12, patch_size = 16, mlp_width = 3072;
  std::string approximate = "none";            ///< of GELU: none as in open_clip, tanh as in HF's folders
  double eps = 1e-6;
};

struct VisionConfig : BlockOptions {
  std::vector<int64_t> layers = {12};          ///< blocks; four counts: a ModifiedResNet
  int64_t width = 768, head_width = 64, patch_size = 16;
  std::vector<int64_t> image_size = {224};     ///< side, or height and width
  double patch_dropout = 0;                    ///< share of patches left out in training (FLIP, arXiv 2212.00794)
  std::string attentional_pool = "false";      ///< false, true, parallel, cascade
  int64_t attn_pooler_queries = 256, attn_pooler_heads = 8;
  bool no_ln_pre = false, final_ln_after_pool = false, output_tokens = false;
  std::string pos_embed_type = "learnable";    ///< learnable or sin_cos_2d
  std::string pool_type = "tok";               ///< tok, avg or ggem
  int64_t ggem_groups = 0;                     ///< groups of channels with one exponent; 0: as many as heads
  double ggem_p_init = 3, ggem_eps = 1e-6;
  bool siglip_tower = false;                   ///< the tower is SigLIP's, of the sizes below (timm_model_name in files)
  SiglipVisionSizes siglip;

  void fields(Fields& f);
  /// Blocks of a vision transformer.
  int64_t depth() const { return layers.front(); }
  bool is_resnet() const { return layers.size() == 4; }
  int64_t image_height() const { return image_size.front(); }
  int64_t image_width() const { return image_size.back(); }
};

struct TextConfig : BlockOptions {
  int64_t context_length = 77, vocab_size = 49408, width = 512, heads = 8, layers = 12;
  bool embed_cls = false, no_causal_mask = false, proj_bias = false, output_tokens = false, final_ln_after_pool = false;
  int64_t pad_id = 0, eos_id = 2;
  std::string pool_type = "argmax";            ///< argmax, eos, first, last
  std::string proj_type = "linear";            ///< linear or none

  void fields(Fields& f);
};

/// CoCa's decoder over text and picture (arXiv 2205.01917).
struct MultimodalConfig : BlockOptions {
  int64_t context_length = 77, vocab_size = 49408, width = 512, heads = 8, layers = 12;

  void fields(Fields& f);
};

struct ClipConfig {
  int64_t embed_dim = 512;
  bool quick_gelu = false;
  bool custom_text = false;                    ///< text weights lie under "text." instead of at the top
  double init_logit_scale = 2.6592600369327783;  ///< ln(1 / 0.07)
  double init_logit_bias = NAN;                ///< NaN: the model has no logit_bias
  bool nonscalar_logit_scale = false;          ///< logit_scale has shape [1] instead of []
  bool independent_features = false;           ///< second projections (arXiv 2303.05952); open_clip has no such key
  VisionConfig vision_cfg;
  TextConfig text_cfg;
  bool has_multimodal = false;                 ///< the model is a CoCa
  MultimodalConfig multimodal_cfg;

  bool is_siglip() const { return vision_cfg.siglip_tower; }
  void fields(Fields& f);

  /// From open_clip's JSON (the bare model configuration, or a whole open_clip_config.json). `name` is the file, for messages.
  static ClipConfig from_open_clip(const std::string& json, const std::string& name);
  /// The model configuration as open_clip reads it: sizes, and what differs from its defaults.
  nlohmann::ordered_json to_open_clip() const;
  /// The config.json of a HF CLIPModel or SiglipModel. Throws if that layout cannot express the model.
  nlohmann::ordered_json to_hf() const;
  /// From the config.json of a HF CLIPModel or SiglipModel.
  static ClipConfig from_hf(const std::string& json, const std::string& name);
};

}  // namespace vlm
