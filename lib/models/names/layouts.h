#pragma once
/// Weight names between the layouts of a family, by the layouts' names.
///
/// | family | layouts |
/// |---|---|
/// | clip | open_clip (flat, as OpenAI's), open_clip_custom_text, hf_clip |
/// | siglip | open_clip_timm, hf_siglip |
/// | blip | blip (the original code's), hf_blip |
/// | coca | open_clip only |
/// | ofa | fairseq, hf_ofa |

#include <string>

#include "vlm/io/tensor_map.h"

namespace vlm {

/// "clip", "coca", "siglip", "blip", "ofa", "mplug", or "" for weights whose names belong to none of them (specs: clip, 8.3).
std::string family_of_names(const TensorMap& weights);
/// True if the names are those of HF's model of the family, false if they are open_clip's or the original ones.
bool has_hf_names(const TensorMap& weights);

/// Weights in another layout of their family. `from` and `to` are layouts of the table, or "open_clip" and "hf" for the
/// family's own (of ofa, whose copies of the tied embeddings stay as they are, "fairseq" and "hf"). Throws a usage error for a layout that does not exist, and an Error where a tensor has no place in it.
TensorMap convert_names(const TensorMap& weights, const std::string& from, const std::string& to);

}  // namespace vlm
