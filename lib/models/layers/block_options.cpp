#include "vlm/models/layers/block_options.h"

#include "vlm/core/error.h"

namespace vlm {

void BlockOptions::fields(Fields& f) {
  f.field("mlp_ratio", mlp_ratio, "width of the MLP over the width of the block");
  f.field("ls_init_value", ls_init_value, "start of LayerScale; 0: none");
  f.field("block_type", block_type, "default or custom");
  f.field("qk_norm", qk_norm, "LayerNorm per head on queries and keys");
  f.field("scaled_cosine_attn", scaled_cosine_attn, "cosine attention with a learned temperature");
  f.field("scale_heads", scale_heads, "a learned factor per head");
  f.field("scale_attn_inner", scale_attn_inner, "LayerNorm on the merged heads");
  f.field("scale_attn", scale_attn, "LayerNorm after the attention");
  f.field("scale_fc", scale_fc, "LayerNorm inside the MLP");
  f.field("act_kwargs", act_kwargs, "options of the activation");
  f.field("norm_kwargs", norm_kwargs, "options of the LayerNorms");
}

bool BlockOptions::custom() const {
  if (block_type != "default" && block_type != "custom") fail_usage("block_type must be default or custom, not '", block_type, "'");
  return block_type == "custom" || qk_norm || scale_heads || scale_attn_inner || scale_attn || scale_fc;
}

Activation BlockOptions::activation() const {
  if (quick_gelu) return Activation::quick_gelu;
  if (act_kwargs.approximate == "tanh") return Activation::gelu_tanh;
  if (act_kwargs.approximate == "none") return Activation::gelu;
  fail_usage("act_kwargs.approximate must be none or tanh, not '", act_kwargs.approximate, "'");
}

}  // namespace vlm
