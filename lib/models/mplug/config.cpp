#include "vlm/models/mplug/config.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/models/check_keys.h"
#include "vlm/models/hf_config.h"

namespace vlm {

namespace mplug_config {

struct TaskName {
  MplugTask task;
  const char* name;
  const char* modelscope;
};

constexpr TaskName tasks[] = {{MplugTask::caption, "caption", "image-captioning"},
                              {MplugTask::vqa, "vqa", "visual-question-answering"},
                              {MplugTask::retrieval, "retrieval", "image-text-retrieval"},
                              {MplugTask::pretrain, "pretrain", "pretrain"},
                              {MplugTask::grounding, "grounding", "visual-grounding"},
                              {MplugTask::entailment, "entailment", "visual-entailment"},
                              {MplugTask::nlvr2, "nlvr2", "nlvr2"}};

struct Tower {
  const char* name;
  int64_t layers, width, heads, patch, embed_dim;
};

constexpr Tower towers[] = {{"ViT-B-16", 12, 768, 12, 16, 512}, {"ViT-L-14", 24, 1024, 16, 14, 768}};

const Tower* tower_named(const std::string& name) {
  for (const auto& tower : towers) {
    if (name == tower.name) return &tower;
  }
  return nullptr;
}

/// One more than the largest number behind `prefix`.
int64_t count_of(const TensorMap& weights, const std::string& prefix) {
  int64_t count = 0;
  for (auto it = weights.lower_bound(prefix); it != weights.end() && starts_with(it->first, prefix); ++it) {
    const std::string digits = it->first.substr(prefix.size(), it->first.find('.', prefix.size()) - prefix.size());
    if (digits.empty() || digits.size() > 3 || digits.find_first_not_of("0123456789") != std::string::npos) continue;
    count = std::max<int64_t>(count, std::stoll(digits) + 1);
  }
  return count;
}

}  // namespace mplug_config

MplugTask mplug_task_of(const std::string& name) {
  std::vector<std::string> known;
  for (const auto& task : mplug_config::tasks) {
    if (name == task.name || name == task.modelscope) return task.task;
    known.push_back(task.name);
  }
  fail("mPLUG has no task '", name, "'", did_you_mean(name, known), "; there are: ", join(known, ", "));
}

const char* name_of(MplugTask task) {
  for (const auto& known : mplug_config::tasks) {
    if (known.task == task) return known.name;
  }
  return "";
}

VisionConfig MplugConfig::clip() const {
  if (vision_heads <= 0 || vision_width % vision_heads != 0) fail("mPLUG: clip_vision_width ", vision_width, " cannot be split over ", vision_heads, " heads");
  VisionConfig out;
  out.layers = {vision_layers};
  out.width = vision_width;
  out.head_width = vision_width / vision_heads;
  out.patch_size = patch_size;
  out.image_size = {image_res};
  out.quick_gelu = true;
  out.attention_dropout = vision_attention_dropout;
  return out;
}

BertOptions MplugConfig::bert(int64_t layers, bool cross_attention) const {
  return {.vocab_size = vocab_size, .width = hidden_size, .intermediate = intermediate, .layers = layers, .heads = heads, .positions = positions,
          .encoder_width = hidden_size, .cross_attention = cross_attention, .eps = eps, .init_std = initializer_range, .token_types = token_types, .padding = pad,
          .hidden_dropout = hidden_dropout, .attention_dropout = attention_dropout, .self_mask = -10000};
}

MplugConfig MplugConfig::from_json(const std::string& json, const std::string& name) {
  const HfConfig root(json, name);
  MplugConfig c;
  if (root.has("task")) {
    c.task = with_context(name, [&] { return mplug_task_of(root.text("task", "")); });
    c.task_known = true;
  }
  c.clip_name = root.text("clip_name", c.clip_name);
  const auto* tower = mplug_config::tower_named(c.clip_name);
  if (tower == nullptr && !root.has("clip_vision_layers")) {
    fail(name, ": the image tower '", c.clip_name, "' is not known (ViT-B-16 and ViT-L-14 are); give its sizes as clip_vision_layers, clip_vision_width, clip_vision_patch_size");
  }
  if (tower == nullptr) tower = &mplug_config::towers[1];
  c.vision_layers = root.size("clip_vision_layers", tower->layers);
  c.vision_width = root.size("clip_vision_width", root.size("vision_width", tower->width));
  if (root.size("vision_width", c.vision_width) != c.vision_width) {
    fail(name, ": vision_width (", root.size("vision_width", 1), ") must be clip_vision_width (", c.vision_width, ")");
  }
  c.vision_heads = root.size("clip_vision_heads", std::max<int64_t>(1, c.vision_width / 64));
  c.patch_size = root.size("clip_vision_patch_size", tower->patch);
  c.clip_embed_dim = root.size("clip_embed_dim", tower->embed_dim);
  c.image_res = root.size("image_res", root.size("clip_image_resolution", 224));
  c.skip_last_layer = root.flag("skip_last_layer", true);
  c.vision_attention_dropout = root.number("clip_attention_dropout", c.vision_attention_dropout);

  const bool nested = root.has("bert_config") && root.json()["bert_config"].is_object();
  // A mere file name: as released, only the stride differs.
  const std::string file = !nested && root.has("bert_config") ? root.text("bert_config", "") : "";
  const HfConfig bert = nested ? root.part("bert_config") : HfConfig(std::string("{}"), name);
  c.vocab_size = bert.size("vocab_size", c.vocab_size);
  c.hidden_size = bert.size("hidden_size", c.hidden_size);
  c.heads = bert.size("num_attention_heads", c.heads);
  c.intermediate = bert.size("intermediate_size", c.intermediate);
  c.positions = bert.size("max_position_embeddings", c.positions);
  c.token_types = bert.size("type_vocab_size", c.token_types);
  c.pad = bert.integer("pad_token_id", c.pad);
  c.hidden_layers = bert.size("num_hidden_layers", c.hidden_layers);
  c.text_encoder_layers = bert.size("text_encoder_layers", c.text_encoder_layers);
  c.fusion_layers = bert.size("fusion_layers", c.fusion_layers);
  c.text_decode_layers = bert.size("text_decode_layers", c.text_decode_layers);
  c.stride_layer = bert.size("stride_layer", file.empty() ? 100 : file.find("stride3") != std::string::npos ? 3 : 6);
  c.eps = bert.number("layer_norm_eps", c.eps);
  c.hidden_dropout = bert.number("hidden_dropout_prob", c.hidden_dropout);
  c.attention_dropout = bert.number("attention_probs_dropout_prob", c.attention_dropout);
  c.initializer_range = bert.number("initializer_range", c.initializer_range);
  if (const std::string act = bert.text("hidden_act", "gelu"); act != "gelu") fail(bert.name(), ": hidden_act '", act, "' is not mPLUG's; that is gelu");

  c.embed_dim = root.size("embed_dim", c.embed_dim);
  c.queue_size = root.size("queue_size", c.queue_size);
  c.temp = root.number("temp", c.temp);
  c.momentum = root.number("momentum", c.momentum);
  c.alpha = root.number("alpha", c.alpha);
  c.distill = root.flag("distill", false);
  c.k_test = root.size("k_test", c.k_test);
  c.beam_size = root.size("beam_size", c.beam_size);
  const bool captions = c.task_known && c.task == MplugTask::caption;
  c.min_length = root.integer("min_length", captions ? 8 : c.min_length);
  c.max_length = root.size("max_length", captions ? 25 : c.max_length);
  c.cls = root.integer("cls_token_id", c.cls);
  c.sep = root.integer("sep_token_id", c.sep);
  c.mask = root.integer("mask_token_id", c.mask);
  c.box_prefix = root.integer("box_prefix_id", c.box_prefix);
  c.box_first = root.integer("box_first_id", c.box_first);
  c.box_bins = root.size("box_bins", c.box_bins);
  if (const auto it = root.json().find("prompt_ids"); it != root.json().end() && it->is_array()) {
    for (const auto& id : *it) {
      if (!id.is_number_integer()) fail(name, ": prompt_ids must be integers");
      c.prompt_ids.push_back(id.get<int64_t>());
    }
  }
  return c;
}

MplugConfig MplugConfig::from_weights(const TensorMap& weights) {
  MplugConfig c;
  const auto conv = weights.find("visual_encoder.visual.conv1.weight"), table = weights.find("visual_encoder.visual.positional_embedding");
  if (conv == weights.end() || table == weights.end() || conv->second.dim() != 4 || table->second.dim() != 2) {
    fail("these are no weights of mPLUG: visual_encoder.visual.conv1.weight [Wv, 3, p, p] and positional_embedding [1 + g², Wv] are missing");
  }
  c.vision_width = conv->second.size(0);
  c.patch_size = conv->second.size(2);
  c.vision_layers = mplug_config::count_of(weights, "visual_encoder.visual.transformer.resblocks.");
  c.vision_heads = std::max<int64_t>(1, c.vision_width / 64);
  c.image_res = std::llround(std::sqrt(static_cast<double>(table->second.size(0) - 1))) * c.patch_size;
  c.clip_name = c.vision_width == 768 ? "ViT-B-16" : c.vision_width == 1024 ? "ViT-L-14" : "ViT";
  c.clip_embed_dim = c.vision_width == 768 ? 512 : 768;
  for (const char* words : {"text_decoder.bert.embeddings.", "text_encoder.embeddings.", "text_encoder.bert.embeddings."}) {
    const auto rows = weights.find(std::string(words) + "word_embeddings.weight"), positions = weights.find(std::string(words) + "position_embeddings.weight");
    if (rows == weights.end() || positions == weights.end() || rows->second.dim() != 2 || positions->second.dim() != 2) continue;
    c.vocab_size = rows->second.size(0);
    c.hidden_size = rows->second.size(1);
    c.positions = positions->second.size(0);
  }
  c.heads = std::max<int64_t>(1, c.hidden_size / 64);
  c.intermediate = 4 * c.hidden_size;
  const auto layers = [&](std::initializer_list<const char*> prefixes, int64_t otherwise) {
    int64_t found = 0;
    for (const char* prefix : prefixes) found = std::max(found, mplug_config::count_of(weights, prefix));
    return found > 0 ? found : otherwise;
  };
  c.text_encoder_layers = layers({"text_encoder.encoder.layer.", "text_encoder.bert.encoder.layer."}, c.text_encoder_layers);
  c.text_decode_layers = layers({"text_decoder.bert.encoder.layer."}, c.text_decode_layers);
  c.hidden_layers = layers({"fusion_encoder.encoder.layer.", "fusion_encoder.bert.encoder.layer."}, c.hidden_layers);
  // Released files hold the layers below as well, which nobody runs; then the number is as released.
  for (int64_t i = c.hidden_layers; i-- > 0;) {
    const std::string name = concat("encoder.layer.", i, ".output.dense.weight");
    if (!weights.count("fusion_encoder." + name) && !weights.count("fusion_encoder.bert." + name)) {
      if (i + 1 < c.hidden_layers) c.fusion_layers = c.hidden_layers - i - 1;
      break;
    }
  }
  c.stride_layer = c.large() ? 6 : 3;
  if (const auto proj = weights.find("vision_proj.weight"); proj != weights.end() && proj->second.dim() == 2) c.embed_dim = proj->second.size(0);
  if (const auto queue = weights.find("image_queue"); queue != weights.end() && queue->second.dim() == 2) c.queue_size = queue->second.size(1);
  return c;
}

nlohmann::ordered_json MplugConfig::to_json() const {
  nlohmann::ordered_json out;
  out["model_type"] = "mplug";
  if (task_known) out["task"] = name_of(task);
  out["bert_config"] = {{"model_type", "bert"}, {"architectures", {"BertForMaskedLM"}}, {"vocab_size", vocab_size}, {"hidden_size", hidden_size},
                        {"num_attention_heads", heads}, {"intermediate_size", intermediate}, {"num_hidden_layers", hidden_layers},
                        {"max_position_embeddings", positions}, {"type_vocab_size", token_types}, {"pad_token_id", pad}, {"hidden_act", "gelu"},
                        {"hidden_dropout_prob", hidden_dropout}, {"attention_probs_dropout_prob", attention_dropout},
                        {"initializer_range", initializer_range}, {"layer_norm_eps", eps}, {"encoder_width", hidden_size},
                        {"add_cross_attention", false}, {"text_encoder_layers", text_encoder_layers}, {"fusion_layers", fusion_layers},
                        {"text_decode_layers", text_decode_layers}, {"stride_layer", stride_layer}};
  out["clip_name"] = clip_name;
  out["clip_embed_dim"] = clip_embed_dim;
  out["clip_image_resolution"] = image_res;
  out["clip_vision_layers"] = vision_layers;
  out["clip_vision_width"] = vision_width;
  out["clip_vision_heads"] = vision_heads;
  out["clip_vision_patch_size"] = patch_size;
  out["clip_attention_dropout"] = vision_attention_dropout;
  if (!skip_last_layer) out["skip_last_layer"] = false;
  out["vision_width"] = vision_width;
  out["image_res"] = image_res;
  out["embed_dim"] = embed_dim;
  out["queue_size"] = queue_size;
  out["temp"] = temp;
  out["momentum"] = momentum;
  out["alpha"] = alpha;
  out["distill"] = distill;
  out["k_test"] = k_test;
  out["beam_size"] = beam_size;
  out["min_length"] = min_length;
  out["max_length"] = max_length;
  out["cls_token_id"] = cls;
  out["sep_token_id"] = sep;
  out["mask_token_id"] = mask;
  if (!prompt_ids.empty()) out["prompt_ids"] = prompt_ids;
  if (task == MplugTask::grounding) {
    out["box_prefix_id"] = box_prefix;
    out["box_first_id"] = box_first;
    out["box_bins"] = box_bins;
  }
  return out;
}

void MplugConfig::check_keys(const nlohmann::ordered_json& config) {
  MplugConfig all;
  all.task = MplugTask::grounding;
  all.task_known = true;
  all.skip_last_layer = false;
  all.prompt_ids = {0};
  const nlohmann::ordered_json own = all.to_json();
  // What else stands in the released task configurations and changes nothing here.
  check_known_keys("an mPLUG", config, own, {"batch_size", "warm_up", "use_checkpoint", "eos", "bos", "prompt", "mlm_probability", "clip_context_length", "clip_vocab_size",
                                             "clip_transformer_width", "clip_transformer_heads", "clip_transformer_layers"});
  check_known_keys_under("bert_config", "an mPLUG", config, own, {"use_cache", "gradient_checkpointing"});
}

}  // namespace vlm
