#pragma once
/// Which parameters are decayed, and which learn slower than others (specs: clip, 14; efficiency, 9).

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "vlm/core/config.h"
#include "vlm/models/interfaces.h"
#include "vlm/train/optimizer.h"

namespace vlm {

struct ParameterGroupOptions {
  double weight_decay = 0.2;
  std::string decay_style = "open_clip";
  std::vector<std::string> no_decay = {};
  double layer_decay = 1;
  std::string layer_decay_style = "timm";
  double min_scale = 0;
  std::vector<std::string> lr_multipliers = {};

  void fields(Fields& f) {
    f.field("weight_decay", weight_decay, "weight decay of the parameters that are decayed");
    f.field("decay_style", decay_style, "open_clip: tensors of two or more dimensions without bn, ln, bias or logit_scale in their name; "
                                        "dims: all of two or more dimensions; all: every parameter, as fairseq does; "
                                        "albef: all but those of one dimension and names that end in .bias; mplug: all but names with bias, "
                                        "and LayerNorm.weight outside visual_encoder");
    f.field("no_decay", no_decay, "names (patterns of * and ?) that are not decayed either");
    f.field("layer_decay", layer_decay, "a layer learns so many times as fast as the one above it; 1: all alike");
    f.field("layer_decay_style", layer_decay_style, "timm (a tower's last norm counts with its last block) or beit (with the head)");
    f.field("min_scale", min_scale, "layer decay: no layer learns slower than this");
    f.field("lr_multipliers", lr_multipliers, "PATTERN=FACTOR: learning rates of the names that match, times the factor");
  }
};

/// open_clip's rule: no decay for parameters of fewer than two dimensions, nor for names that hold bn, ln, bias or logit_scale.
bool takes_weight_decay(const std::string& name, int64_t dims);
/// The same by one of the styles of ParameterGroupOptions. Throws a usage error for one that does not exist.
bool takes_weight_decay(const std::string& style, const std::string& name, int64_t dims);
/// True if one of the patterns of `*` and `?` is the whole name.
bool matches_any(const std::vector<std::string>& patterns, const std::string& name);

/// Where a parameter stands in its tower: 0 for what comes before the blocks, i + 1 for block i, `last` for the head and for
/// what belongs to no tower.
struct LayerPlace {
  int64_t id = 0;
  int64_t last = 0;
};
/// Places by name. Towers are found by the names of their blocks (blocks.I, visual.transformer.resblocks.I,
/// vision_model.encoder.layers.I, text_decoder.bert.encoder.layer.I, …), and each has its own depth. style: timm or beit.
std::map<std::string, LayerPlace> layer_places(const std::vector<std::string>& names, const std::string& style);
/// max(min_scale, layer_decay ^ (last - id)).
double layer_scale(const LayerPlace& place, double layer_decay, double min_scale);

/// The parameters with their learning rates and decays, in the given order. Throws a usage error for an unknown style, a
/// multiplier that is no PATTERN=FACTOR, or a pattern that no name matches.
std::vector<OptimizedParameter> parameter_groups(const std::vector<NamedTensor>& parameters, const ParameterGroupOptions& options);

}  // namespace vlm
