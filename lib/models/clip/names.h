#pragma once
/// Weight names of CLIP in the layouts of OpenAI/open_clip and of HF CLIPModel, both ways (specs: clip, 2.2 and 2.9).

#include "vlm/io/tensor_map.h"

namespace vlm {

/// True if the names are those of HF's CLIPModel.
bool is_hf_clip(const TensorMap& weights);

/// HF names to open_clip's flat ones; q, k and v are joined, projections transposed, position_ids dropped. A tensor without
/// a counterpart keeps its name, so that the loader reports it. Throws if only some of q, k and v are there.
TensorMap clip_from_hf(const TensorMap& weights);
/// open_clip's names (flat or with "text.") to HF's. Throws if HF's layout has no place for a tensor.
TensorMap clip_to_hf(const TensorMap& weights);

/// The flat layout of OpenAI to that of open_clip's CustomTextCLIP, where the text tower lies below "text."; weights without
/// the key `text_projection` are left as they are.
TensorMap clip_to_custom_text(const TensorMap& weights);
/// The way back.
TensorMap clip_from_custom_text(const TensorMap& weights);

/// What released open_clip files carry beside the model's own names is taken off: a "module." or "_orig_mod." in front,
/// input_resolution and its like. With `custom_text` the flat text names get "text." in front, without it lose it.
TensorMap normalize_open_clip(const TensorMap& weights, bool custom_text);

}  // namespace vlm
