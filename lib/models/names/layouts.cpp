#include "vlm/models/names/layouts.h"

#include <vector>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/models/clip/names.h"
#include "vlm/models/names/blip_names.h"
#include "vlm/models/names/mplug_names.h"
#include "vlm/models/names/ofa_names.h"
#include "vlm/models/names/siglip_names.h"

namespace vlm {

namespace layouts {

enum class Side { open_clip, custom_text, hf };

Side side_of(const std::string& layout, const std::string& family) {
  const std::string own = family == "blip" ? "blip" : family == "siglip" ? "open_clip_timm" : family == "ofa" ? "fairseq" : "open_clip";
  if (layout == "hf" || layout == "hf_" + family) return Side::hf;
  if (layout == "open_clip_custom_text" && family != "ofa") return Side::custom_text;
  if (layout == own || (layout == "open_clip" && family != "ofa") || layout == "open_clip_" + family || (family == "clip" && layout == "openai"))
    return Side::open_clip;
  std::vector<std::string> known = {own, "hf_" + family};
  if (family != "ofa") known.push_back("open_clip_custom_text");
  fail_usage("unknown layout '", layout, "' of ", family, did_you_mean(layout, known), "; there are: ", join(known, ", "));
}

/// The family that one of the layouts belongs to alone.
std::string family_of_layouts(const std::string& from, const std::string& to) {
  for (const auto& layout : {from, to}) {
    if (layout.find("siglip") != std::string::npos || layout.find("timm") != std::string::npos) return "siglip";
    if (layout.find("blip") != std::string::npos) return "blip";
    if (layout == "hf_clip" || layout == "openai") return "clip";
    if (layout == "fairseq" || layout == "hf_ofa") return "ofa";
  }
  return "";
}

}  // namespace layouts

std::string family_of_names(const TensorMap& weights) {
  if (is_hf_siglip(weights) || is_open_clip_siglip(weights)) return "siglip";
  if (is_hf_blip(weights) || is_original_blip(weights)) return "blip";
  if (weights.count("text_decoder.cross_attn.0.ln_1.weight")) return "coca";
  if (is_ofa(weights)) return "ofa";
  if (is_mplug(weights)) return "mplug";
  const bool open_clip = weights.count("visual.conv1.weight") > 0 &&
                         (weights.count("text_projection") || weights.count("text.text_projection") ||
                          weights.count("positional_embedding") || weights.count("text.positional_embedding"));
  if (open_clip || is_hf_clip(weights) || weights.count("visual.attnpool.q_proj.weight")) return "clip";
  return "";
}

bool has_hf_names(const TensorMap& weights) {
  return is_hf_siglip(weights) || is_hf_blip(weights) || is_hf_clip(weights) || (is_ofa(weights) && !is_fairseq_ofa(weights));
}

TensorMap convert_names(const TensorMap& weights, const std::string& from, const std::string& to) {
  using layouts::Side;
  std::string family = layouts::family_of_layouts(from, to);
  if (family.empty()) family = family_of_names(weights);
  if (family.empty()) family = "clip";
  if (family == "mplug") fail("mPLUG's weights have one layout; there is none to convert them to");
  const Side source = layouts::side_of(from, family), target = layouts::side_of(to, family);
  if (source == target) return weights;
  if (family == "siglip") {
    // open_clip's SigLIP always has its text tower below "text.".
    if (source != Side::hf && target != Side::hf) return weights;
    return target == Side::hf ? siglip_to_hf(weights) : siglip_from_hf(weights);
  }
  if (family == "ofa") return target == Side::hf ? ofa_to_hf(weights) : ofa_from_hf(weights);
  if (family == "blip") return target == Side::hf ? blip_to_hf(weights) : blip_from_hf(weights);
  if (target == Side::hf) {
    if (family == "coca") fail("HF has no layout for CoCa; it is kept in open_clip's");
    return clip_to_hf(weights);
  }
  const TensorMap flat = source == Side::hf            ? clip_from_hf(weights)
                         : source == Side::custom_text ? clip_from_custom_text(weights)
                                                       : weights;
  return target == Side::custom_text ? clip_to_custom_text(flat) : flat;
}

}  // namespace vlm
