#include "vlm/train/parameter_groups.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <set>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"

namespace vlm {

namespace parameter_group {

/// A name of the form ROOT.CONTAINER.I.REST, taken apart.
struct Block {
  std::string root;
  int64_t index;
};

std::string joined(const std::vector<std::string>& parts, size_t count) {
  return join({parts.begin(), parts.begin() + static_cast<std::ptrdiff_t>(count)}, ".");
}

/// Modules that stand between a tower and its parts.
bool is_wrapper(const std::string& part) { return part == "transformer" || part == "trunk" || part == "encoder" || part == "bert" || part == "model"; }

std::optional<Block> block_of(const std::vector<std::string>& parts) {
  static const std::set<std::string> containers = {"resblocks", "blocks", "layers", "layer"};
  for (size_t i = 0; i + 2 < parts.size(); ++i) {
    if (!containers.count(parts[i])) continue;
    const std::string& digits = parts[i + 1];
    int64_t index = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
    if (error != std::errc() || end != digits.data() + digits.size() || index < 0 || index > 1'000'000) continue;
    size_t root = i;
    while (root > 0 && is_wrapper(parts[root - 1])) --root;
    // A model of two stacks, "encoder.layers.I" and "decoder.layers.I", has two towers.
    if (root == 0 && i > 0 && parts[0] == "encoder") root = 1;
    return Block{joined(parts, root), index};
  }
  return std::nullopt;
}

bool is_below(const std::string& name, const std::string& root) {
  return root.empty() || (starts_with(name, root) && name.size() > root.size() && name[root.size()] == '.');
}

/// What turns pixels or ids into the first block's input.
bool is_stem(const std::string& part) {
  static const std::vector<std::string> stems = {
      "cls_token", "pos_embed*", "patch_embed*", "mask_token", "class_embedding", "positional_embedding", "token_embedding", "conv1",
      "ln_pre", "embeddings", "pre_layrnorm", "pre_layernorm", "embed_tokens", "embed_positions", "embed_images", "embed_image_positions",
      "image_pos_bias", "type_embedding", "layernorm_embedding", "patch_layernorm_embedding", "cls_emb", "patch_embedding"};
  return std::any_of(stems.begin(), stems.end(), [&](const std::string& stem) { return glob_match(stem, part); });
}

double factor_of(const std::string& text, const std::string& entry) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value >= 0) || !std::isfinite(value)) {
    fail_usage("lr_multipliers: '", entry, "' does not end in a factor; write it as PATTERN=0.1");
  }
  return value;
}

}  // namespace parameter_group

bool takes_weight_decay(const std::string& name, int64_t dims) {
  if (dims < 2) return false;
  for (const char* part : {"bn", "ln", "bias", "logit_scale"}) {
    if (name.find(part) != std::string::npos) return false;
  }
  return true;
}

bool takes_weight_decay(const std::string& style, const std::string& name, int64_t dims) {
  const auto holds = [&](const char* part) { return name.find(part) != std::string::npos; };
  if (style == "open_clip") return takes_weight_decay(name, dims);
  if (style == "dims") return dims >= 2;
  if (style == "all") return true;
  if (style == "albef") return dims != 1 && !ends_with(name, ".bias");
  if (style == "mplug") return !holds("bias") && (holds("visual_encoder") || !holds("LayerNorm.weight"));
  const std::vector<std::string> known = {"open_clip", "dims", "all", "albef", "mplug"};
  fail_usage("unknown decay_style '", style, "'", did_you_mean(style, known), "; there are: ", join(known, ", "));
}

bool matches_any(const std::vector<std::string>& patterns, const std::string& name) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) { return glob_match(pattern, name); });
}

std::map<std::string, LayerPlace> layer_places(const std::vector<std::string>& names, const std::string& style) {
  if (style != "timm" && style != "beit") fail_usage("unknown layer_decay_style '", style, "'", did_you_mean(style, {"timm", "beit"}), "; there are: timm, beit");
  std::map<std::string, int64_t> depths;  // of the towers
  for (const auto& name : names) {
    if (const auto block = parameter_group::block_of(split(name, "."))) {
      int64_t& depth = depths[block->root];
      depth = std::max(depth, block->index + 1);
    }
  }
  std::map<std::string, LayerPlace> out;
  std::map<std::string, int64_t> top;  // the largest id that a tower has
  std::map<std::string, std::string> tower_of;
  for (const auto& name : names) {
    const auto parts = split(name, ".");
    std::string root;
    const auto block = parameter_group::block_of(parts);
    bool found = block.has_value();
    if (block) {
      root = block->root;
    } else {
      for (const auto& [candidate, depth] : depths) {
        if (parameter_group::is_below(name, candidate) && (!found || candidate.size() >= root.size())) {
          root = candidate;
          found = true;
        }
      }
    }
    if (!found) {
      out[name] = {0, 0};
      continue;
    }
    const int64_t depth = depths.at(root);
    int64_t id = depth + 1;
    if (block) {
      id = block->index + 1;
    } else {
      auto rest = split(std::string_view(name).substr(root.empty() ? 0 : root.size() + 1), ".");
      size_t first = 0;
      while (first + 1 < rest.size() && parameter_group::is_wrapper(rest[first])) ++first;
      if (parameter_group::is_stem(rest[first])) {
        id = 0;
      } else if (style == "timm" && (rest[first] == "norm" || rest[first] == "fc_norm")) {
        id = depth;
      }
    }
    out[name].id = id;
    tower_of[name] = root;
    top[root] = std::max(top[root], id);
  }
  // timm counts the layers that there are, so a tower without a head ends with its last block; BEiT always counts a head.
  for (const auto& [name, root] : tower_of) out[name].last = style == "timm" ? top.at(root) : depths.at(root) + 1;
  return out;
}

double layer_scale(const LayerPlace& place, double layer_decay, double min_scale) {
  return std::max(min_scale, std::pow(layer_decay, static_cast<double>(place.last - place.id)));
}

std::vector<OptimizedParameter> parameter_groups(const std::vector<NamedTensor>& parameters, const ParameterGroupOptions& options) {
  const std::string& style = options.decay_style;
  takes_weight_decay(style, "", 2);  // an unknown style is refused even where nothing is trained
  if (!(options.weight_decay >= 0)) fail_usage("weight_decay is ", options.weight_decay, "; it must not be negative");
  if (!(options.layer_decay > 0)) fail_usage("layer_decay is ", options.layer_decay, "; it must be above 0");
  std::vector<std::string> names;
  for (const auto& [name, tensor] : parameters) names.push_back(name);
  std::vector<std::pair<std::string, double>> multipliers;
  for (const auto& entry : options.lr_multipliers) {
    const size_t equals = entry.rfind('=');
    if (equals == std::string::npos || equals == 0) fail_usage("lr_multipliers: '", entry, "' is not of the form PATTERN=FACTOR");
    multipliers.emplace_back(entry.substr(0, equals), parameter_group::factor_of(entry.substr(equals + 1), entry));
  }
  // A pattern that matches nothing is a misspelt one.
  const auto check = [&](const std::string& pattern, const char* key) {
    for (const auto& name : names) {
      if (glob_match(pattern, name)) return;
    }
    fail_usage(key, ": no parameter is called '", pattern, "'", did_you_mean(pattern, names));
  };
  for (const auto& pattern : options.no_decay) check(pattern, "no_decay");
  for (const auto& [pattern, factor] : multipliers) check(pattern, "lr_multipliers");

  const bool by_layer = options.layer_decay != 1;
  const auto places = by_layer ? layer_places(names, options.layer_decay_style) : std::map<std::string, LayerPlace>();
  std::vector<OptimizedParameter> out;
  for (const auto& [name, tensor] : parameters) {
    OptimizedParameter parameter{.name = name, .parameter = tensor};
    const bool decayed = takes_weight_decay(style, name, tensor.dim()) && !matches_any(options.no_decay, name);
    parameter.weight_decay = decayed ? options.weight_decay : 0;
    if (by_layer) parameter.lr_scale = layer_scale(places.at(name), options.layer_decay, options.min_scale);
    for (const auto& [pattern, factor] : multipliers) {
      if (glob_match(pattern, name)) parameter.lr_scale *= factor;
    }
    out.push_back(std::move(parameter));
  }
  return out;
}

}  // namespace vlm
