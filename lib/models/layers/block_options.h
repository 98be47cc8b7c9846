#pragma once
/// What transformer blocks are made of, under the keys of open_clip's model configuration. Free of LibTorch's module headers.

#include <string>

#include "vlm/core/config.h"

namespace vlm {

enum class Activation { gelu, gelu_tanh, quick_gelu };

struct ActivationOptions {
  std::string approximate = "none";  ///< "tanh" for the tanh form of GELU
  void fields(Fields& f) { f.field("approximate", approximate, "GELU: none (exact) or tanh"); }
};

struct NormOptions {
  double eps = 1e-5;
  void fields(Fields& f) { f.field("eps", eps, "LayerNorm epsilon"); }
};

/// What a stack of blocks is made of; names as in open_clip's configuration.
struct BlockOptions {
  double mlp_ratio = 4.0;       ///< MLP width = int(width * mlp_ratio)
  double ls_init_value = 0;     ///< LayerScale's start; 0: no LayerScale
  std::string block_type = "default";
  bool qk_norm = false, scaled_cosine_attn = false, scale_heads = false, scale_attn_inner = false, scale_attn = false, scale_fc = false;
  ActivationOptions act_kwargs;
  NormOptions norm_kwargs;
  bool quick_gelu = false;      ///< set from the model's configuration
  double attention_dropout = 0; ///< of attention probabilities, in training (default blocks); set from the model's configuration

  void fields(Fields& f);
  bool custom() const;
  Activation activation() const;
};

}  // namespace vlm
