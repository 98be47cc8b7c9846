#include "vlm/models/ofa/config.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/models/check_keys.h"
#include "vlm/models/hf_config.h"

namespace vlm {

namespace ofa_config {

using Json = nlohmann::ordered_json;

struct Size {
  const char* name;
  int64_t width, ffn, heads, encoder_layers, decoder_layers;
  const char* resnet;
};

constexpr Size sizes[] = {{"tiny", 256, 1024, 4, 4, 4, "resnet50"},      {"medium", 512, 2048, 8, 4, 4, "resnet101"},
                          {"base", 768, 3072, 12, 6, 6, "resnet101"},    {"large", 1024, 4096, 16, 12, 12, "resnet152"},
                          {"huge", 1280, 5120, 16, 24, 12, "resnet152"}};

struct Trunk {
  const char* name;
  std::vector<int64_t> blocks;
};

/// Blocks of the three stages. Also resnet18 and resnet34 are made of bottleneck blocks here.
const std::vector<Trunk>& trunks() {
  static const std::vector<Trunk> table = {{"resnet18", {2, 2, 2}}, {"resnet34", {3, 4, 6}}, {"resnet50", {3, 4, 6}},
                                           {"resnet101", {3, 4, 23}}, {"resnet152", {3, 8, 36}}};
  return table;
}

const Trunk* trunk_of(const std::string& name) {
  for (const auto& trunk : trunks()) {
    if (name == trunk.name) return &trunk;
  }
  return nullptr;
}

struct ActivationName {
  const char *hf, *fairseq;
  Activation activation;
  bool relu;
};

constexpr ActivationName activations[] = {{"gelu", "gelu", Activation::gelu, false},
                                          {"relu", "relu", Activation::gelu, true},
                                          {"gelu_new", "gelu_accurate", Activation::gelu_tanh, false},
                                          {"quick_gelu", nullptr, Activation::quick_gelu, false}};

void read_activation(const HfConfig& json, const char* key, const char* ActivationName::*layout, OfaConfig& c) {
  const std::string name = json.text(key, "gelu");
  std::vector<std::string> known;
  for (const auto& entry : activations) {
    if (entry.*layout == nullptr) continue;
    known.push_back(entry.*layout);
    if (name != entry.*layout) continue;
    c.activation = entry.activation;
    c.relu = entry.relu;
    return;
  }
  fail(json.name(), ": ", key, " '", name, "' is not known; there are: ", join(known, ", "));
}

const char* name_of(const OfaConfig& c, const char* ActivationName::*layout) {
  for (const auto& entry : activations) {
    if (entry.relu == c.relu && (c.relu || entry.activation == c.activation)) return entry.*layout;
  }
  return nullptr;
}

void refuse(const HfConfig& json, const char* key, bool refused_value, const char* why) {
  if (json.has(key) && json.flag(key, !refused_value) == refused_value) {
    fail(json.name(), ": ", key, " is ", refused_value ? "true" : "false", ": ", why);
  }
}

void read_trunk(const HfConfig& json, OfaConfig& c) {
  c.resnet_type = json.text("resnet_type", c.resnet_type);
  c.resnet_stem_width = json.size("resnet_stem_width", c.resnet_stem_width);
  if (c.resnet_type != "custom") {
    const Trunk* trunk = trunk_of(c.resnet_type);
    std::vector<std::string> names;
    for (const auto& known : trunks()) names.push_back(known.name);
    if (trunk == nullptr) {
      fail(json.name(), ": resnet_type '", c.resnet_type, "' is not known", did_you_mean(c.resnet_type, names), "; there are: ", join(names, ", "),
           " (trunks that are vision transformers are not supported)");
    }
    c.resnet_layers = trunk->blocks;
    return;
  }
  const auto layers = json.json().find("resnet_layers");
  const bool three = layers != json.json().end() && layers->is_array() && layers->size() == 3;
  if (!three) fail(json.name(), ": resnet_type 'custom' needs resnet_layers, the blocks of three stages, as in [1, 2, 1]");
  c.resnet_layers.clear();
  for (const auto& blocks : *layers) {
    if (!blocks.is_number_integer() || blocks.get<int64_t>() < 1) fail(json.name(), ": resnet_layers must be three positive integers");
    c.resnet_layers.push_back(blocks.get<int64_t>());
  }
}

void read_prompt(const HfConfig& json, const std::string& stack, OfaPromptConfig& prompt) {
  prompt.on = json.flag((stack + "_prompt").c_str(), false);
  if (!prompt.on) return;
  const std::string type = json.text((stack + "_prompt_type").c_str(), "prefix");
  if (type != "prefix") fail(json.name(), ": ", stack, "_prompt_type is '", type, "'; only prefix is supported");
  prompt.length = json.size((stack + "_prompt_length").c_str(), prompt.length);
  prompt.projection = json.flag((stack + "_prompt_projection").c_str(), false);
  prompt.hidden = json.integer((stack + "_prompt_dim").c_str(), 0);
}

/// Keys that both layouts spell alike, and what belongs to no size.
void read_common(const HfConfig& json, OfaConfig& c) {
  c.vocab_size = json.size("vocab_size", c.vocab_size);
  c.encoder_layers = json.size("encoder_layers", c.encoder_layers);
  c.decoder_layers = json.size("decoder_layers", c.decoder_layers);
  c.encoder_heads = json.size("encoder_attention_heads", c.encoder_heads);
  c.decoder_heads = json.size("decoder_attention_heads", c.decoder_heads);
  c.token_bucket_size = json.size("token_bucket_size", c.token_bucket_size);
  c.image_bucket_size = json.size("image_bucket_size", c.image_bucket_size);
  c.code_image_size = json.size("code_image_size", c.code_image_size);
  c.attn_scale_factor = json.number("attn_scale_factor", c.attn_scale_factor);
  c.encoder_pre_norm = json.flag("encoder_normalize_before", c.encoder_pre_norm);
  c.decoder_pre_norm = json.flag("decoder_normalize_before", c.decoder_pre_norm);
  c.layernorm_embedding = json.flag("layernorm_embedding", c.layernorm_embedding);
  c.patch_layernorm_embedding = json.flag("patch_layernorm_embedding", c.patch_layernorm_embedding);
  c.code_layernorm_embedding = json.flag("code_layernorm_embedding", c.code_layernorm_embedding);
  c.add_type_embedding = json.flag("add_type_embedding", c.add_type_embedding);
  c.interpolate_position = json.flag("interpolate_position", false);
  c.orig_patch_image_size = json.size("orig_patch_image_size", c.orig_patch_image_size);
  c.patch_image_size = json.integer("patch_image_size", 0);
  c.dropout = json.number("dropout", c.dropout);
  c.attention_dropout = json.number("attention_dropout", c.attention_dropout);
  c.activation_dropout = json.number("activation_dropout", c.activation_dropout);
  c.encoder_drop_path = json.number("encoder_drop_path_rate", c.encoder_drop_path);
  c.decoder_drop_path = json.number("decoder_drop_path_rate", c.decoder_drop_path);
  c.resnet_drop_path = json.number("resnet_drop_path_rate", c.resnet_drop_path);
  c.freeze_resnet = json.flag("freeze_resnet", false);
  c.sync_bn = json.flag("sync_bn", false);
  c.bos = json.integer("bos_token_id", c.bos);
  c.pad = json.integer("pad_token_id", c.pad);
  c.eos = json.integer("eos_token_id", c.eos);
  c.unk = json.integer("unk_token_id", c.unk);
  c.adapter = json.flag("adapter", false);
  c.adapter_dim = json.size("adapter_dim", c.adapter_dim);
  c.mue = json.flag("train_mue", false);
  c.scale_resids = json.flag("scale_resids", false);
  read_prompt(json, "encoder", c.encoder_prompt);
  read_prompt(json, "decoder", c.decoder_prompt);
  read_trunk(json, c);
  // Vocabularies of text alone have no place for codes and bins.
  const bool room = c.vocab_size > c.num_codes + c.num_bins;
  c.num_codes = json.integer("num_codes", room ? c.num_codes : 0);
  c.num_bins = json.integer("num_bins", room ? c.num_bins : 0);

  refuse(json, "use_ofasys", true, "models of OFASys (a vision transformer as trunk) are not supported");
  refuse(json, "share_attn_bias", true, "one table of relative positions for all layers is not supported");
  refuse(json, "use_image_feature", false, "models without a trunk for pictures are not supported");
  refuse(json, "use_gamma_feature", true, "scaled residual branches (layer scale) are not supported");
  if (json.flag("share_decoder_input_output_embed", true) == false && json.flag("share_all_embeddings", false) == false) {
    fail(json.name(), ": share_decoder_input_output_embed is false: an output layer of its own is not supported");
  }
}

void check(const HfConfig& json, const OfaConfig& c) {
  if (c.width % c.encoder_heads != 0 || c.width % c.decoder_heads != 0) {
    fail(json.name(), ": a width of ", c.width, " cannot be divided among ", c.encoder_heads, " and ", c.decoder_heads, " heads");
  }
  if (c.num_codes < 0 || c.num_bins < 0 || c.num_codes + c.num_bins >= c.vocab_size) {
    fail(json.name(), ": a vocabulary of ", c.vocab_size, " cannot hold ", c.num_codes, " codes and ", c.num_bins, " bins (num_codes, num_bins)");
  }
  if (c.attn_scale_factor <= 0) fail(json.name(), ": attn_scale_factor must be positive");
  if (c.patch_image_size < 0) fail(json.name(), ": patch_image_size must not be negative");
}

void write_prompt(Json& out, const std::string& stack, const OfaPromptConfig& prompt) {
  if (!prompt.on) return;
  out[stack + "_prompt"] = true;
  out[stack + "_prompt_type"] = "prefix";
  out[stack + "_prompt_length"] = prompt.length;
  out[stack + "_prompt_projection"] = prompt.projection;
  if (prompt.hidden > 0) out[stack + "_prompt_dim"] = prompt.hidden;
}

void write_common(Json& out, const OfaConfig& c) {
  const OfaConfig usual;
  out["token_bucket_size"] = c.token_bucket_size;
  out["image_bucket_size"] = c.image_bucket_size;
  out["code_image_size"] = c.code_image_size;
  out["attn_scale_factor"] = c.attn_scale_factor;
  out["encoder_normalize_before"] = c.encoder_pre_norm;
  out["decoder_normalize_before"] = c.decoder_pre_norm;
  out["layernorm_embedding"] = c.layernorm_embedding;
  out["patch_layernorm_embedding"] = c.patch_layernorm_embedding;
  out["code_layernorm_embedding"] = c.code_layernorm_embedding;
  out["add_type_embedding"] = c.add_type_embedding;
  out["share_decoder_input_output_embed"] = true;
  out["interpolate_position"] = c.interpolate_position;
  out["orig_patch_image_size"] = c.orig_patch_image_size;
  out["dropout"] = c.dropout;
  out["attention_dropout"] = c.attention_dropout;
  out["activation_dropout"] = c.activation_dropout;
  out["encoder_drop_path_rate"] = c.encoder_drop_path;
  out["decoder_drop_path_rate"] = c.decoder_drop_path;
  out["resnet_drop_path_rate"] = c.resnet_drop_path;
  const Trunk* trunk = trunk_of(c.resnet_type);
  const bool published = trunk != nullptr && trunk->blocks == c.resnet_layers && c.resnet_stem_width == usual.resnet_stem_width;
  out["resnet_type"] = published ? c.resnet_type : "custom";
  if (!published) {
    out["resnet_layers"] = c.resnet_layers;
    out["resnet_stem_width"] = c.resnet_stem_width;
  }
  if (c.num_codes != usual.num_codes) out["num_codes"] = c.num_codes;
  if (c.num_bins != usual.num_bins) out["num_bins"] = c.num_bins;
  if (c.patch_image_size > 0) out["patch_image_size"] = c.patch_image_size;
  if (c.freeze_resnet) out["freeze_resnet"] = true;
}

}  // namespace ofa_config

OfaConfig OfaConfig::sized(const std::string& size) {
  std::vector<std::string> names;
  for (const auto& known : ofa_config::sizes) {
    names.push_back(known.name);
    if (size != known.name) continue;
    OfaConfig c;
    c.width = known.width;
    c.encoder_ffn = c.decoder_ffn = known.ffn;
    c.encoder_heads = c.decoder_heads = known.heads;
    c.encoder_layers = known.encoder_layers;
    c.decoder_layers = known.decoder_layers;
    c.resnet_type = known.resnet;
    c.resnet_layers = ofa_config::trunk_of(known.resnet)->blocks;
    return c;
  }
  fail_usage("there is no OFA of size '", size, "'", did_you_mean(size, names), "; there are: ", join(names, ", "));
}

OfaConfig OfaConfig::from_hf(const std::string& json, const std::string& name) {
  const HfConfig root(json, name);
  const std::string type = root.text("model_type", "ofa");
  if (type != "ofa") fail(name, ": model_type is '", type, "', not ofa");
  // What the configuration class of HF's port begins with: OFA-medium.
  OfaConfig c = sized(root.text("size", "medium"));
  c.orig_patch_image_size = 224;
  ofa_config::read_common(root, c);
  ofa_config::read_activation(root, "activation_function", &ofa_config::ActivationName::hf, c);
  c.width = root.size("d_model", c.width);
  c.encoder_ffn = root.size("encoder_ffn_dim", c.encoder_ffn);
  c.decoder_ffn = root.size("decoder_ffn_dim", c.decoder_ffn);
  c.max_source_positions = c.max_target_positions = root.size("max_position_embeddings", 1024);
  c.scale_embedding = root.flag("scale_embedding", false);
  c.init_std = root.number("init_std", c.init_std);
  if (c.init_std <= 0) fail(name, ": init_std must be positive");
  c.scale_attn = c.scale_fc = root.flag("normformer", true);
  c.encoder_entangled = root.flag("entangle_position_embedding", false);
  c.decoder_entangled = c.encoder_entangled && !root.flag("disable_entangle", false);
  ofa_config::check(root, c);
  return c;
}

void OfaConfig::check_keys(const nlohmann::ordered_json& config) {
  OfaConfig all;
  all.resnet_type = "custom";
  all.num_codes = all.num_bins = all.patch_image_size = 1;
  all.unk = -1;
  std::vector<std::string> known = {"size", "disable_entangle", "freeze_resnet", "sync_bn", "scale_resids", "adapter", "adapter_dim", "train_mue",
                                    "use_ofasys", "share_attn_bias", "use_image_feature", "use_gamma_feature"};
  for (const char* stack : {"encoder", "decoder"}) {
    for (const char* key : {"_prompt", "_prompt_type", "_prompt_length", "_prompt_projection", "_prompt_dim"}) known.push_back(concat(stack, key));
  }
  const auto fairseq = config.contains("arch") ? all.to_fairseq() : ofa_config::Json::object();
  for (const auto& [key, value] : fairseq.items()) known.push_back(key);
  check_known_keys("an OFA model", config, all.to_hf(), std::move(known));
}

OfaConfig OfaConfig::from_fairseq(const std::string& json, const std::string& name) {
  const HfConfig root(json, name);
  // Arguments that were not given are those of the architecture; one that was made up states all of its sizes.
  const std::string arch = root.text("arch", "ofa_large");
  bool published = false;
  for (const auto& size : ofa_config::sizes) published = published || arch == concat("ofa_", size.name);
  if (!published && !starts_with(arch, "ofa")) fail(name, ": the arguments are those of '", arch, "', not of OFA");
  OfaConfig c = sized(published ? arch.substr(4) : "large");
  c.dropout = 0;
  c.scale_attn = c.scale_fc = c.scale_heads = false;
  ofa_config::read_common(root, c);
  ofa_config::read_activation(root, "activation_fn", &ofa_config::ActivationName::fairseq, c);
  c.width = root.size("encoder_embed_dim", c.width);
  for (const char* key : {"decoder_embed_dim", "decoder_input_dim", "decoder_output_dim"}) {
    if (root.size(key, c.width) != c.width) fail(name, ": ", key, " is ", root.size(key, c.width), ", but encoder_embed_dim ", c.width, "; they must be equal");
  }
  c.encoder_ffn = root.size("encoder_ffn_embed_dim", c.encoder_ffn);
  c.decoder_ffn = root.size("decoder_ffn_embed_dim", c.encoder_ffn);
  c.max_source_positions = root.size("max_source_positions", 1024);
  c.max_target_positions = root.size("max_target_positions", 1024);
  c.scale_embedding = !root.flag("no_scale_embedding", true);
  c.scale_attn = root.flag("scale_attn", false);
  c.scale_fc = root.flag("scale_fc", false);
  c.scale_heads = root.flag("scale_heads", false);
  c.encoder_entangled = root.flag("entangle_position_embedding", false);
  c.decoder_entangled = !root.flag("disable_entangle", false);
  for (const char* key : {"no_cross_attention", "cross_self_attention", "adaptive_input", "tie_adaptive_weights"}) {
    ofa_config::refuse(root, key, true, "not supported");
  }
  ofa_config::check(root, c);
  return c;
}

std::string OfaConfig::hf_gap() const {
  if (encoder_prompt.on || decoder_prompt.on) return "prompts";
  if (adapter) return "adapters";
  if (mue) return "modalities that are encoded apart (train_mue)";
  if (scale_resids) return "scaled residuals (scale_resids)";
  if (!scale_heads) return "attention heads without a scale (scale_heads)";
  if (scale_attn != scale_fc) return "one of scale_attn and scale_fc without the other";
  if (decoder_entangled && !encoder_entangled) return "positions that are added to the decoder's inputs alone (no disable_entangle)";
  if (max_source_positions != max_target_positions) return "different numbers of positions for source and target";
  if (sync_bn) return "the batch norm of sync_bn, whose epsilon is another";
  return "";
}

nlohmann::ordered_json OfaConfig::to_hf() const {
  if (const std::string gap = hf_gap(); !gap.empty()) fail("HF's layout cannot say ", gap, "; write the model in fairseq's");
  nlohmann::ordered_json out = {{"architectures", {"OFAModel"}}, {"model_type", "ofa"}};
  out["vocab_size"] = vocab_size;
  out["max_position_embeddings"] = max_source_positions;
  out["init_std"] = init_std;
  out["d_model"] = width;
  out["encoder_layers"] = encoder_layers;
  out["encoder_ffn_dim"] = encoder_ffn;
  out["encoder_attention_heads"] = encoder_heads;
  out["decoder_layers"] = decoder_layers;
  out["decoder_ffn_dim"] = decoder_ffn;
  out["decoder_attention_heads"] = decoder_heads;
  out["activation_function"] = ofa_config::name_of(*this, &ofa_config::ActivationName::hf);
  out["normformer"] = scale_attn;
  out["scale_embedding"] = scale_embedding;
  out["entangle_position_embedding"] = encoder_entangled;
  if (encoder_entangled && !decoder_entangled) out["disable_entangle"] = true;
  ofa_config::write_common(out, *this);
  out["is_encoder_decoder"] = true;
  out["use_cache"] = true;
  out["bos_token_id"] = out["decoder_start_token_id"] = bos;
  out["pad_token_id"] = pad;
  out["eos_token_id"] = out["forced_eos_token_id"] = eos;
  if (unk != 3) out["unk_token_id"] = unk;
  return out;
}

nlohmann::ordered_json OfaConfig::to_fairseq() const {
  const char* activation_name = ofa_config::name_of(*this, &ofa_config::ActivationName::fairseq);
  if (activation_name == nullptr) fail("fairseq's layout has no name for the activation quick_gelu");
  nlohmann::ordered_json out;
  out["arch"] = "ofa_large";
  for (const auto& size : ofa_config::sizes) {
    const bool same = width == size.width && encoder_ffn == size.ffn && encoder_heads == size.heads && encoder_layers == size.encoder_layers &&
                      decoder_layers == size.decoder_layers && resnet_type == size.resnet;
    if (same) out["arch"] = concat("ofa_", size.name);
  }
  out["vocab_size"] = vocab_size;
  out["max_source_positions"] = max_source_positions;
  out["max_target_positions"] = max_target_positions;
  for (const char* key : {"encoder_embed_dim", "decoder_embed_dim", "decoder_input_dim", "decoder_output_dim"}) out[key] = width;
  out["encoder_layers"] = encoder_layers;
  out["encoder_ffn_embed_dim"] = encoder_ffn;
  out["encoder_attention_heads"] = encoder_heads;
  out["decoder_layers"] = decoder_layers;
  out["decoder_ffn_embed_dim"] = decoder_ffn;
  out["decoder_attention_heads"] = decoder_heads;
  out["activation_fn"] = activation_name;
  out["share_all_embeddings"] = true;
  out["no_scale_embedding"] = !scale_embedding;
  out["scale_attn"] = scale_attn;
  out["scale_fc"] = scale_fc;
  out["scale_heads"] = scale_heads;
  out["scale_resids"] = scale_resids;
  out["entangle_position_embedding"] = encoder_entangled;
  out["disable_entangle"] = !decoder_entangled;
  ofa_config::write_common(out, *this);
  if (!usual_ids()) {  // fairseq's dictionaries have no others
    out["bos_token_id"] = bos;
    out["pad_token_id"] = pad;
    out["eos_token_id"] = eos;
    out["unk_token_id"] = unk;
  }
  out["sync_bn"] = sync_bn;
  out["freeze_resnet"] = freeze_resnet;
  ofa_config::write_prompt(out, "encoder", encoder_prompt);
  ofa_config::write_prompt(out, "decoder", decoder_prompt);
  if (adapter) {
    out["adapter"] = true;
    out["adapter_dim"] = adapter_dim;
  }
  if (mue) out["train_mue"] = true;
  return out;
}

}  // namespace vlm
