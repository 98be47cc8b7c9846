#pragma once
/// Weight names of SigLIP in the layouts of open_clip (with a trunk of timm) and of HF SiglipModel, both ways (specs: clip,
/// 3).

#include "vlm/io/tensor_map.h"

namespace vlm {

bool is_hf_siglip(const TensorMap& weights);
bool is_open_clip_siglip(const TensorMap& weights);

/// HF names to open_clip's. position_ids are dropped, the extra "vision_model." or "text_model." of towers that were saved
/// one by one is taken off. A tensor without a counterpart keeps its name.
TensorMap siglip_from_hf(const TensorMap& weights);
/// The way back. logit_scale and logit_bias get the shape [1] that HF has. Throws if HF's layout has no place for a tensor.
TensorMap siglip_to_hf(const TensorMap& weights);

}  // namespace vlm
