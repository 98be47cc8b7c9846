#include "vlm/models/names/albef_names.h"

#include <ATen/ops/equal.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/models/albef/albef.h"
#include "vlm/models/layers/timm.h"
#include "vlm/models/names/bert_names.h"

namespace vlm {

namespace albef_names {

bool any_begins(const TensorMap& weights, const std::string& prefix) {
  const auto it = weights.lower_bound(prefix);
  return it != weights.end() && starts_with(it->first, prefix);
}

/// "text_encoder.bert.encoder.layer." + 7 + ".output…": the parts of a layer's name behind a stack's; nothing for another name.
struct LayerName {
  int64_t number = -1;
  std::string rest;
};

LayerName layer_name(const std::string& name, const std::string& stack) {
  if (!starts_with(name, stack)) return {};
  const size_t dot = name.find('.', stack.size());
  const std::string number = name.substr(stack.size(), dot == std::string::npos ? dot : dot - stack.size());
  if (dot == std::string::npos || number.empty() || number.size() > 6 || number.find_first_not_of("0123456789") != std::string::npos) return {};
  return {std::stoll(number), name.substr(dot)};
}

std::string without(std::string name, const std::string& part) {
  const size_t at = name.find(part);
  return at == std::string::npos ? name : name.erase(at, part.size());
}

/// The key and value projections of cross attention that a layer shares with the one before it.
bool is_second_of_shared(const std::string& name, int64_t fusion_layer) {
  for (const char* encoder : {"text_encoder.", "text_encoder_m."}) {
    const LayerName layer = layer_name(name, concat(encoder, "encoder.layer."));
    if (layer.number < fusion_layer || (layer.number - fusion_layer) % 2 == 0) continue;
    if (starts_with(layer.rest, ".crossattention.self.key.") || starts_with(layer.rest, ".crossattention.self.value.")) return true;
  }
  return false;
}

/// The name of the same tensor in the next layer, or in the one before.
std::string shifted(const std::string& name, int64_t by) {
  for (const char* encoder : {"text_encoder.", "text_encoder_m."}) {
    const std::string stack = concat(encoder, "encoder.layer.");
    const LayerName layer = layer_name(name, stack);
    if (layer.number >= 0) return concat(stack, layer.number + by, layer.rest);
  }
  return name;
}

TensorMap renamed(const TensorMap& weights, AlbefRenaming renaming, int64_t fusion_layer) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : weights) names.push_back(name);
  TensorMap out;
  for (const auto& [name, source] : albef_task_names(names, renaming, fusion_layer)) out.emplace(name, weights.at(source));
  return out;
}

TensorMap prefixed(const TensorMap& weights, const std::string& prefix) {
  TensorMap out;
  for (const auto& [name, tensor] : weights) out.emplace(prefix + name, tensor);
  return out;
}

/// A DeiT or a BERT under the names of a pre-training checkpoint.
TensorMap as_part_of_pretraining(const TensorMap& weights) {
  if (is_timm_vision(weights)) return prefixed(weights, "visual_encoder.");
  if (!is_plain_bert(weights)) return weights;
  TensorMap out;
  for (const auto& [name, tensor] : weights) {
    // LayerNorm's tensors are called gamma and beta in the oldest files.
    std::string now = name;
    if (ends_with(now, ".gamma")) now.replace(now.size() - 5, 5, "weight");
    if (ends_with(now, ".beta")) now.replace(now.size() - 4, 4, "bias");
    out.emplace("text_encoder." + now, tensor);
  }
  return out;
}

/// What files have and no model here has a place for.
bool has_no_place(const std::string& name, const std::map<std::string, Tensor>& state) {
  if (state.count(name)) return false;
  for (const char* part : {"visual_encoder.head.", "visual_encoder.head_dist.", "text_encoder.cls.seq_relationship.", "text_encoder.bert.pooler.",
                           "text_encoder.pooler."}) {
    if (starts_with(name, part)) return true;
  }
  const bool task = std::none_of(state.begin(), state.end(), [](const auto& entry) { return starts_with(entry.first, "text_encoder.bert."); });
  if (!task) return false;
  for (const char* part : {"text_encoder.cls.", "text_encoder_m.cls.", "itm_head.", "vision_proj", "text_proj"}) {
    if (starts_with(name, part)) return true;
  }
  return name == "temp" || name == "image_queue" || name == "text_queue" || name == "idx_queue" || name == "queue_ptr" || name == "codebook";
}

std::string momentum_of(const std::string& name) {
  const size_t dot = name.find('.');
  return dot == std::string::npos ? "" : name.substr(0, dot) + "_m" + name.substr(dot);
}

}  // namespace albef_names

AlbefRenaming albef_renaming_named(const std::string& name) {
  if (name == "single" || name == "single_retrieval") return AlbefRenaming::single;
  if (name == "nlvr") return AlbefRenaming::nlvr;
  if (name == "vqa") return AlbefRenaming::vqa;
  fail_usage("unknown task '", name, "'; there are: single, single_retrieval, nlvr, vqa");
}

std::vector<std::pair<std::string, std::string>> albef_task_names(const std::vector<std::string>& names, AlbefRenaming renaming, int64_t fusion_layer) {
  using namespace albef_names;
  std::map<std::string, std::string> out;
  for (const auto& name : names) {
    const std::string own = without(name, "bert.");
    bool taken = false;
    for (const char* suffix : {"", "_m"}) {
      const std::string encoder = concat("text_encoder", suffix, "."), decoder = concat("text_decoder", suffix, ".");
      if (!starts_with(name, encoder)) continue;
      const LayerName layer = layer_name(name, encoder + "bert.encoder.layer.");
      if (renaming == AlbefRenaming::nlvr && layer.number >= fusion_layer) {
        const int64_t first = fusion_layer + 2 * (layer.number - fusion_layer);
        for (const int64_t number : {first, first + 1}) out[concat(encoder, "encoder.layer.", number, layer.rest)] = name;
        taken = true;
      }
      if (renaming == AlbefRenaming::vqa) {
        if (layer.number >= fusion_layer) {
          out[concat(decoder, "bert.encoder.layer.", layer.number - fusion_layer, layer.rest)] = name;
        } else if (layer.number < 0) {
          out[decoder + name.substr(encoder.size())] = name;
          taken = starts_with(name, encoder + "cls.");  // the head goes over; what else there is, is in both
        }
      }
    }
    if (!taken) out[own] = name;
  }
  return {out.begin(), out.end()};
}

bool is_albef(const TensorMap& weights) {
  if (!weights.count("visual_encoder.cls_token") || !weights.count("visual_encoder.blocks.0.attn.qkv.weight")) return false;
  for (const char* stack : {"text_encoder.bert.encoder.layer.", "text_encoder.encoder.layer."}) {
    // BLIP's text encoder looks at the picture from its first layer on.
    if (weights.count(concat(stack, "0.attention.self.query.weight"))) return !weights.count(concat(stack, "0.crossattention.self.query.weight"));
  }
  return false;
}

bool is_timm_vision(const TensorMap& weights) { return weights.count("cls_token") > 0 && weights.count("blocks.0.attn.qkv.weight") > 0; }
bool is_plain_bert(const TensorMap& weights) { return weights.count("bert.encoder.layer.0.attention.self.query.weight") > 0; }

TensorMap albef_weights_for(const AlbefModel& model, const TensorMap& given) {
  using namespace albef_names;
  const AlbefConfig& config = model.architecture();
  const AlbefTask task = config.task;
  const int64_t fusion = config.text.fusion_layer;
  TensorMap weights = as_part_of_pretraining(given);
  if (task != AlbefTask::pretrain && any_begins(weights, "text_encoder.bert.")) {
    const bool two = task == AlbefTask::nlvr || task == AlbefTask::text_assignment;
    weights = renamed(weights, task == AlbefTask::vqa ? AlbefRenaming::vqa : two ? AlbefRenaming::nlvr : AlbefRenaming::single, fusion);
  }
  weights = without_derived_bert(weights);

  std::map<std::string, Tensor> state;
  for (const auto& [name, tensor] : model.state()) state.emplace(name, tensor);
  TensorMap out;
  for (const auto& [name, tensor] : weights) {
    if (has_no_place(name, state) || (is_momentum_name(name) && !model.has_momentum())) continue;
    if ((task == AlbefTask::nlvr || task == AlbefTask::text_assignment) && is_second_of_shared(name, fusion)) {
      const auto first = weights.find(shifted(name, -1));
      if (first == weights.end()) {
        out.emplace(shifted(name, -1), tensor);
      } else if (first->second.sizes() != tensor.sizes() || !at::equal(first->second, tensor)) {
        fail(name, " is not the same as ", first->first, "; layers that look at the two pictures share keys and values");
      }
      continue;
    }
    const auto own = state.find(name);
    const bool positions = name == "visual_encoder.pos_embed" || name == "visual_encoder_m.pos_embed";
    if (positions && own != state.end() && tensor.dim() == 3 && tensor.sizes() != own->second.sizes()) {
      const auto side = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(own->second.size(1) - 1))));
      out.emplace(name, resize_timm_positions(tensor, side));
    } else {
      out.emplace(name, tensor);
    }
  }
  for (const auto& [name, tensor] : TensorMap(out)) {
    const std::string copy = momentum_of(name);
    if (state.count(copy) && !out.count(copy)) out.emplace(copy, tensor);
  }
  return out;
}

TensorMap with_second_albef_names(const AlbefConfig& config, const TensorMap& weights) {
  using namespace albef_names;
  TensorMap out = with_derived_bert(weights);
  if (config.task != AlbefTask::nlvr && config.task != AlbefTask::text_assignment) return out;
  for (const auto& [name, tensor] : weights) {
    const std::string second = shifted(name, 1);
    if (second != name && is_second_of_shared(second, config.text.fusion_layer)) out.emplace(second, tensor);
  }
  return out;
}

}  // namespace vlm
