#include "vlm/models/albef/config.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/models/check_keys.h"
#include "vlm/models/hf_config.h"

namespace vlm {

namespace albef_config {

constexpr std::pair<AlbefTask, const char*> tasks[] = {
    {AlbefTask::pretrain, "pretrain"},     {AlbefTask::retrieval, "retrieval"}, {AlbefTask::vqa, "vqa"},
    {AlbefTask::entailment, "entailment"}, {AlbefTask::nlvr, "nlvr"},           {AlbefTask::text_assignment, "text_assignment"},
};

/// One more than the largest number behind `prefix`; 0 where there is none.
int64_t layers_behind(const TensorMap& weights, const std::string& prefix) {
  int64_t count = 0;
  for (auto it = weights.lower_bound(prefix); it != weights.end() && starts_with(it->first, prefix); ++it) {
    const std::string number = it->first.substr(prefix.size(), it->first.find('.', prefix.size()) - prefix.size());
    if (!number.empty() && number.size() < 6 && number.find_first_not_of("0123456789") == std::string::npos) {
      count = std::max<int64_t>(count, std::stoll(number) + 1);
    }
  }
  return count;
}

bool holds(const TensorMap& weights, const std::string& prefix) {
  const auto it = weights.lower_bound(prefix);
  return it != weights.end() && starts_with(it->first, prefix);
}

const Tensor& needed(const TensorMap& weights, const std::string& name, int64_t dims) {
  const auto it = weights.find(name);
  if (it == weights.end()) fail("these are no weights of ALBEF: there is no ", name);
  if (it->second.dim() != dims) fail("these are no weights of ALBEF: ", name, " has the shape ", it->second.sizes());
  return it->second;
}

/// The decoder begins as the layers that fuse, and with two pictures each of these stands twice.
void count_layers(AlbefConfig& c) {
  const int64_t fusing = std::max<int64_t>(c.text.layers - c.text.fusion_layer, 1);
  c.decoder_layers = fusing;
  c.two_picture_layers = c.text.fusion_layer + 2 * fusing;
}

AlbefTask task_of(const TensorMap& weights, AlbefTask otherwise) {
  if (holds(weights, "text_decoder.")) return AlbefTask::vqa;
  if (holds(weights, "ta_head.")) return AlbefTask::text_assignment;
  const auto head = weights.find("cls_head.2.weight");
  if (head != weights.end() && head->second.dim() == 2) return head->second.size(0) == 2 ? AlbefTask::nlvr : AlbefTask::entailment;
  if (holds(weights, "text_encoder.bert.")) return AlbefTask::pretrain;
  if (holds(weights, "text_encoder.")) return AlbefTask::retrieval;
  return otherwise;
}

BertOptions text_options(const HfConfig& bert) {
  const std::string act = bert.text("hidden_act", "gelu");
  if (act != "gelu") fail(bert.name(), ": hidden_act is '", act, "'; ALBEF's is gelu");
  BertOptions o;
  o.vocab_size = bert.size("vocab_size", 30522);
  o.width = bert.size("hidden_size", 768);
  o.intermediate = bert.size("intermediate_size", 3072);
  o.layers = bert.size("num_hidden_layers", 12);
  o.heads = bert.size("num_attention_heads", 12);
  o.positions = bert.size("max_position_embeddings", 512);
  o.encoder_width = bert.size("encoder_width", 768);
  o.eps = bert.number("layer_norm_eps", 1e-12);
  o.fusion_layer = bert.integer("fusion_layer", 6);
  o.token_types = bert.size("type_vocab_size", 2);
  o.padding = bert.integer("pad_token_id", 0);
  o.init_std = bert.number("initializer_range", o.init_std);
  o.hidden_dropout = bert.number("hidden_dropout_prob", 0.1);
  o.attention_dropout = bert.number("attention_probs_dropout_prob", 0.1);
  if (o.padding < 0 || o.padding >= o.vocab_size) fail(bert.name(), ": pad_token_id must be below vocab_size");
  return o;
}

}  // namespace albef_config

std::string to_string(AlbefTask task) {
  for (const auto& [known, name] : albef_config::tasks) {
    if (known == task) return name;
  }
  return "";
}

AlbefTask albef_task_named(const std::string& name) {
  std::vector<std::string> known;
  for (const auto& [task, called] : albef_config::tasks) {
    if (name == called) return task;
    known.push_back(called);
  }
  fail_usage("unknown task of ALBEF '", name, "'", did_you_mean(name, known), "; there are: ", join(known, ", "));
}

AlbefConfig::AlbefConfig() {
  text.vocab_size = 30522;
  text.fusion_layer = 6;
  text.token_types = 2;
  text.padding = 0;
  text.hidden_dropout = text.attention_dropout = 0.1;
  text.self_mask = -10000;
  text.cross_mask = -1e9;
}

AlbefConfig AlbefConfig::from_json(const std::string& json, const std::string& name) {
  const HfConfig root(json, name);
  AlbefConfig c;
  if (root.has("task")) c.task = albef_task_named(root.text("task", ""));
  const int64_t side = root.size("image_res", 256);
  c.vision.image_height = c.vision.image_width = side;
  c.vision.patch_size = root.size("patch_size", 16);
  c.vision.width = root.size("vision_width", 768);
  c.vision.layers = root.size("vision_depth", 12);
  c.vision.heads = root.size("vision_heads", 12);
  c.vision.init_std = root.number("vision_init_std", c.vision.init_std);
  c.vision.mlp_width = std::llround(root.number("mlp_ratio", 4) * static_cast<double>(c.vision.width));
  if (root.json().contains("bert_config") && root.json()["bert_config"].is_string()) {
    fail(name, ": bert_config is the name of a file, ", root.text("bert_config", ""), "; write its contents there, or lay it beside");
  }
  const double self_mask = c.text.self_mask, cross_mask = c.text.cross_mask;
  c.text = albef_config::text_options(root.part("bert_config"));
  c.text.self_mask = self_mask;
  c.text.cross_mask = cross_mask;
  albef_config::count_layers(c);
  c.decoder_layers = root.size("decoder_layers", c.decoder_layers);
  c.two_picture_layers = root.size("two_picture_layers", c.two_picture_layers);
  c.embed_dim = root.size("embed_dim", 256);
  c.temp = root.number("temp", 0.07);
  c.queue_size = root.integer("queue_size", 65536);
  c.momentum = root.flag("momentum_copies", root.flag("distill", true));
  c.idx_queue = root.flag("idx_queue", c.task == AlbefTask::retrieval);
  c.codebook_size = root.integer("codebook_size", 0);
  c.independent_features = root.flag("independent_features", false);
  c.pad = c.text.padding;
  c.cls = root.integer("cls_token_id", 101);
  c.sep = root.integer("sep_token_id", 102);
  c.mask = root.integer("mask_token_id", 103);
  if (c.queue_size < 0 || c.codebook_size < 0) fail(name, ": queue_size and codebook_size must not be negative");
  return c;
}

nlohmann::ordered_json AlbefConfig::to_json() const {
  nlohmann::ordered_json out;
  out["model_type"] = "albef";
  out["task"] = to_string(task);
  out["image_res"] = vision.image_height;
  out["patch_size"] = vision.patch_size;
  out["vision_width"] = vision.width;
  out["vision_depth"] = vision.layers;
  out["vision_heads"] = vision.heads;
  out["mlp_ratio"] = static_cast<double>(vision.mlp_width) / static_cast<double>(vision.width);
  if (vision.init_std != TimmOptions().init_std) out["vision_init_std"] = vision.init_std;
  out["embed_dim"] = embed_dim;
  out["temp"] = temp;
  out["queue_size"] = queue_size;
  out["idx_queue"] = idx_queue;
  out["momentum_copies"] = momentum;
  if (codebook_size > 0) out["codebook_size"] = codebook_size;
  if (independent_features) out["independent_features"] = true;
  if (task == AlbefTask::vqa) out["decoder_layers"] = decoder_layers;
  if (task == AlbefTask::nlvr || task == AlbefTask::text_assignment) out["two_picture_layers"] = two_picture_layers;
  out["cls_token_id"] = cls;
  out["sep_token_id"] = sep;
  out["mask_token_id"] = mask;
  out["bert_config"] = {{"architectures", {"BertForMaskedLM"}}, {"model_type", "bert"}, {"vocab_size", text.vocab_size},
                        {"hidden_size", text.width}, {"intermediate_size", text.intermediate}, {"num_hidden_layers", text.layers},
                        {"num_attention_heads", text.heads}, {"max_position_embeddings", text.positions},
                        {"encoder_width", text.encoder_width}, {"fusion_layer", text.fusion_layer}, {"type_vocab_size", text.token_types},
                        {"pad_token_id", pad}, {"hidden_act", "gelu"}, {"hidden_dropout_prob", text.hidden_dropout}, {"attention_probs_dropout_prob", text.attention_dropout},
                        {"initializer_range", text.init_std}, {"layer_norm_eps", text.eps}};
  return out;
}

void AlbefConfig::check_keys(const nlohmann::ordered_json& config) {
  AlbefConfig all;
  all.codebook_size = 1;
  all.vision.init_std = 1;
  all.independent_features = true;
  const nlohmann::ordered_json own = all.to_json();
  check_known_keys("an ALBEF", config, own, {"distill", "decoder_layers", "two_picture_layers"});
  check_known_keys_under("bert_config", "an ALBEF", config, own);
}

AlbefConfig AlbefConfig::fitting(const TensorMap& weights) const {
  using namespace albef_config;
  AlbefConfig c = *this;
  c.task = task_of(weights, task);
  c.momentum = holds(weights, "visual_encoder_m.");
  c.idx_queue = weights.count("idx_queue") > 0;
  const auto queue = weights.find("image_queue");
  c.queue_size = queue == weights.end() || queue->second.dim() != 2 ? 0 : queue->second.size(1);
  const auto codebook = weights.find("codebook");
  c.codebook_size = codebook == weights.end() || codebook->second.dim() != 2 ? 0 : codebook->second.size(0);
  c.independent_features = holds(weights, "vision_proj_ind.");
  if (const int64_t layers = layers_behind(weights, "text_decoder.bert.encoder.layer."); layers > 0) c.decoder_layers = layers;
  if (c.task == AlbefTask::nlvr || c.task == AlbefTask::text_assignment) {
    if (const int64_t layers = layers_behind(weights, "text_encoder.encoder.layer."); layers > 0) c.two_picture_layers = layers;
  }
  return c;
}

AlbefConfig AlbefConfig::from_weights(const TensorMap& weights) {
  using namespace albef_config;
  constexpr int64_t head_width = 64;
  AlbefConfig c;
  c.task = task_of(weights, AlbefTask::pretrain);
  const std::string bert = c.task == AlbefTask::pretrain ? "text_encoder.bert." : "text_encoder.";
  const Tensor patch = needed(weights, "visual_encoder.patch_embed.proj.weight", 4);
  const Tensor positions = needed(weights, "visual_encoder.pos_embed", 3);
  const Tensor words = needed(weights, bert + "embeddings.word_embeddings.weight", 2);
  const Tensor up = needed(weights, bert + "encoder.layer.0.intermediate.dense.weight", 2);
  c.vision.width = patch.size(0);
  c.vision.patch_size = patch.size(2);
  c.vision.layers = layers_behind(weights, "visual_encoder.blocks.");
  c.vision.heads = c.vision.width / head_width;
  c.vision.mlp_width = needed(weights, "visual_encoder.blocks.0.mlp.fc1.weight", 2).size(0);
  c.vision.image_height = c.vision.image_width =
      c.vision.patch_size * std::llround(std::sqrt(static_cast<double>(positions.size(1) - 1)));
  c.text.vocab_size = words.size(0);
  c.text.width = words.size(1);
  c.text.intermediate = up.size(0);
  c.text.heads = c.text.width / head_width;
  c.text.positions = needed(weights, bert + "embeddings.position_embeddings.weight", 2).size(0);
  c.text.token_types = needed(weights, bert + "embeddings.token_type_embeddings.weight", 2).size(0);
  c.text.encoder_width = c.vision.width;
  const int64_t layers = layers_behind(weights, bert + "encoder.layer.");
  c.text.fusion_layer = 0;
  while (c.text.fusion_layer < layers && !holds(weights, concat(bert, "encoder.layer.", c.text.fusion_layer, ".crossattention."))) {
    ++c.text.fusion_layer;
  }
  const bool two = c.task == AlbefTask::nlvr || c.task == AlbefTask::text_assignment;
  c.text.layers = two ? c.text.fusion_layer + (layers - c.text.fusion_layer) / 2 : layers;
  count_layers(c);
  const auto proj = weights.find("vision_proj.weight");
  if (proj != weights.end() && proj->second.dim() == 2) c.embed_dim = proj->second.size(0);
  return c.fitting(weights);
}

BertOptions AlbefConfig::decoder_options() const {
  BertOptions o = text;
  o.layers = decoder_layers;
  o.fusion_layer = 0;
  o.encoder_width = text.width;
  return o;
}

BertOptions AlbefConfig::encoder_options() const {
  BertOptions o = text;
  if (task == AlbefTask::nlvr || task == AlbefTask::text_assignment) {
    o.layers = two_picture_layers;
    o.shared_cross_keys = true;
  }
  return o;
}

}  // namespace vlm
