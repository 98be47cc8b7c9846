#include <ATen/TensorOperators.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softmax.h>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/golden/case.h"
#include "vlm/infer/coca_search.h"
#include "vlm/infer/generate.h"
#include "vlm/losses/contrastive.h"
#include "vlm/losses/language_modeling.h"
#include "vlm/losses/sigmoid.h"
#include "vlm/models/blip/blip.h"
#include "vlm/models/clip/clip.h"
#include "vlm/models/clip/names.h"
#include "vlm/models/coca/coca.h"
#include "vlm/models/layers/ggem.h"
#include "vlm/models/layers/modified_resnet.h"
#include "vlm/models/names/bert_names.h"
#include "vlm/models/names/siglip_names.h"
#include "vlm/models/state.h"

namespace vlm::golden {

namespace family_operations {

std::string config_name(const Case& c) { return (c.folder / "config.json").string(); }

void set_gradients(Result& result, const Case& c, const std::vector<NamedTensor>& state) {
  for (const auto& [name, tensor] : state) {
    if (c.wants("grad." + name) && tensor.grad().defined()) result.set("grad." + name, tensor.grad());
  }
}

Result modified_resnet(const Case& c) {
  const ClipConfig config = ClipConfig::from_open_clip(c.config().dump(), config_name(c));
  ModifiedResNet tower(config.vision_cfg, config.embed_dim);
  TensorMap weights;
  for (const auto& [name, tensor] : c.weights()) {
    // A copy: training changes the running statistics.
    if (starts_with(name, "visual.")) weights.emplace(name.substr(7), tensor.clone());
  }
  const auto state = module_state(tower);
  load_state(state, weights, c.folder.string());
  tower.train(c.param("train", false));
  Trace trace;
  Result result;
  result.set("out.features", tower.forward(c.in("image"), &trace).features);
  for (size_t i = 0; i < trace.blocks.size(); ++i) result.set("out.stage." + std::to_string(i + 1), trace.blocks[i]);
  for (const auto& [name, tensor] : state) {
    if (c.wants("out." + name)) result.set("out." + name, tensor);
  }
  return result;
}

Result ggem(const Case& c) {
  const Tensor tokens = c.in("tokens").clone().requires_grad_(), p = c.in("p").clone().requires_grad_();
  const Tensor pooled = ggem_pool(tokens, p, c.param("eps", 1e-6));
  Result result;
  result.set("out.pooled", pooled);
  if (c.has_in("grad_out")) {
    const Tensor loss = (pooled * c.in("grad_out")).sum();
    loss.backward();
    result.set("out.loss", loss);
    result.set("grad.tokens", tokens.grad());
    result.set("grad.p", p.grad());
  }
  return result;
}

Result hf_clip(const Case& c) {
  ClipModel model(ClipConfig::from_hf(c.config().dump(), config_name(c)));
  load_state(model.state(), normalize_open_clip(clip_from_hf(c.weights()), false), c.folder.string());
  Trace vision;
  const VisionOutput image = model.visual->forward(c.in("pixel_values"), &vision);
  const TextOutput text = model.text().forward(c.in("input_ids"), nullptr, c.has_in("attention_mask") ? c.in("attention_mask") : Tensor());
  const Tensor image_embeds = normalize(image.features), text_embeds = normalize(text.features);
  const Tensor logits = model.logit_scale() * image_embeds.matmul(text_embeds.t());
  Result result;
  result.set("out.image_embeds", image_embeds);
  result.set("out.text_embeds", text_embeds);
  result.set("out.logits_per_image", logits);
  result.set("out.logits_per_text", logits.t());
  result.set("out.loss", contrastive_loss(image_embeds, text_embeds, model.logit_scale(), {}));
  result.set("out.vision_last_hidden", vision.blocks.back());
  result.set("out.vision_pooled", image.features);
  result.set("out.text_last_hidden", text.tokens);
  result.set("out.text_pooled", text.features);
  result.set("out.text_embeds_no_mask", model.embed_texts(c.in("input_ids")));
  return result;
}

Result siglip(const Case& c) {
  const auto config_json = c.config();
  const bool hf = c.param<std::string>("layout", "hf") == "hf";
  ClipConfig config = hf ? ClipConfig::from_hf(config_json.dump(), config_name(c)) : ClipConfig::from_open_clip(config_json.dump(), config_name(c));
  if (c.params.contains("timm")) {  // sizes that no released tower has
    const auto& timm = c.params["timm"];
    auto& sizes = config.vision_cfg.siglip;
    sizes.width = timm.at("embed_dim");
    sizes.layers = timm.at("depth");
    sizes.heads = timm.at("num_heads");
    sizes.patch_size = timm.at("patch_size");
    sizes.mlp_width = static_cast<int64_t>(static_cast<double>(sizes.width) * timm.at("mlp_ratio").get<double>());
    config.vision_cfg.image_size = {timm.at("img_size").get<int64_t>()};
  }
  ClipModel model(config);
  TensorMap weights = c.weights();
  if (hf) weights = siglip_from_hf(weights);
  load_state(model.state(), normalize_open_clip(weights, true), c.folder.string());
  const VisionOutput image = model.visual->forward(c.in("pixel_values"));
  const TextOutput text = model.text().forward(c.in("input_ids"));
  const Tensor image_embeds = normalize(image.features), text_embeds = normalize(text.features);
  const Tensor logits = model.logit_scale() * image_embeds.matmul(text_embeds.t()) + model.logit_bias();
  Result result;
  result.set("out.image_embeds", image_embeds);
  result.set("out.text_embeds", text_embeds);
  result.set("out.logits_per_image", logits);
  result.set("out.logits_per_text", logits.t());
  result.set("out.loss", sigmoid_loss(image_embeds, text_embeds, model.logit_scale(), model.logit_bias()));
  result.set("out.vision_last_hidden", image.tokens);
  result.set("out.vision_pooled", image.features);
  result.set("out.text_last_hidden", text.tokens);
  result.set("out.text_pooled", text.features);
  result.set("out.probs", at::sigmoid(logits));
  return result;
}

std::unique_ptr<CocaModel> coca_model(const Case& c) {
  auto model = std::make_unique<CocaModel>(ClipConfig::from_open_clip(c.config().dump(), config_name(c)));
  load_state(model->state(), normalize_open_clip(c.weights(), true), c.folder.string());
  return model;
}

Result coca_forward(const Case& c) {
  const auto model = coca_model(c);
  const Tensor ids = c.in("ids");
  const CocaOutput out = model->forward(c.in("image"), ids, true);
  Result result;
  result.set("out.image_features", out.image_features);
  result.set("out.text_features", out.text_features);
  result.set("out.logits", out.logits);
  result.set("out.labels", out.labels);
  result.set("out.logit_scale", model->logit_scale());
  result.set("out.image_embs", out.image_embs);
  result.set("out.token_embs", out.token_embs);
  if (c.params.contains("short_len")) {
    result.set("out.logits_no_labels", model->forward(c.in("image"), ids.slice(1, 0, c.params["short_len"].get<int64_t>()), false).logits);
  }
  return result;
}

Result coca_generate(const Case& c) {
  const auto model = coca_model(c);
  GenerationTokens tokens = model->generation_tokens();
  tokens.begin = c.param("sot_token_id", tokens.begin);
  tokens.end = c.param("eos_token_id", tokens.end);
  tokens.pad = c.param("pad_token_id", tokens.pad);
  const c10::InferenceMode inference;
  const Tensor image = c.in("image");
  const Tensor prompt = c.has_in("text") ? c.in("text") : begin_prompt(image.size(0), tokens);
  const auto state = model->begin_caption(image);
  const auto type = c.param<std::string>("generation_type", "beam_search");
  Result result;
  if (type == "hf_beam") {
    GenerateOptions options;
    options.beams = c.param("num_beams", int64_t(6));
    options.max_length = c.param("seq_len", int64_t(30));
    options.min_length = c.param("min_seq_len", int64_t(5));
    options.repetition_penalty = c.param("repetition_penalty", 1.0);
    options.length_penalty = c.param("length_penalty", 1.0);
    result.set("out.ids", generate(*state, prompt, {}, tokens, options).ids);
    return result;
  }
  CocaSearchOptions options;
  options.type = type;
  options.seq_len = c.param("seq_len", options.seq_len);
  options.min_seq_len = c.param("min_seq_len", options.min_seq_len);
  options.beams = c.param("num_beams", options.beams);
  options.beam_groups = c.param("num_beam_groups", options.beam_groups);
  options.temperature = c.param("temperature", options.temperature);
  options.top_k = c.param("top_k", options.top_k);
  options.top_p = c.param("top_p", options.top_p);
  options.repetition_penalty = c.param("repetition_penalty", options.repetition_penalty);
  options.fixed_output_length = c.param("fixed_output_length", options.fixed_output_length);
  result.set("out.ids", coca_search(*state, prompt, tokens, options));
  return result;
}

template <class Blip>
std::unique_ptr<Blip> blip_model(const Case& c) {
  auto model = std::make_unique<Blip>(BlipConfig::from_hf(c.config().dump(), config_name(c)));
  load_state(model->state(), without_derived_bert(c.weights()), c.folder.string());
  return model;
}

Tensor mask_of(const Case& c, const char* name = "attention_mask") { return c.has_in(name) ? c.in(name) : Tensor(); }

Result blip_caption_forward(const Case& c) {
  const auto model = blip_model<BlipCaptioner>(c);
  const Tensor image = model->encode_image(c.in("pixel_values"));
  const Tensor logits = model->text_decoder->forward(c.in("input_ids"), mask_of(c), image);
  Result result;
  result.set("out.logits", logits);
  result.set("out.image_embeds", image);
  if (c.has_in("labels")) {
    const Tensor loss = next_token_loss(logits, c.in("labels"), -100, c.param("label_smoothing", model->architecture().label_smoothing));
    loss.backward();
    result.set("out.loss", loss);
    set_gradients(result, c, model->state());
  }
  return result;
}

Result blip_vqa_forward(const Case& c) {
  const auto model = blip_model<BlipAnswerer>(c);
  const Tensor image = model->encode_image(c.in("pixel_values"));
  const Tensor question = model->encode_question(image, c.in("input_ids"), mask_of(c));
  const Tensor labels = c.in("labels");
  const Tensor ids = c.has_in("decoder_input_ids") ? c.in("decoder_input_ids") : labels;
  const Tensor logits = model->text_decoder->forward(ids, mask_of(c, "decoder_attention_mask"), question);
  const Tensor loss = next_token_loss(logits, labels, -100, c.param("label_smoothing", model->architecture().label_smoothing));
  loss.backward();
  Result result;
  result.set("out.loss", loss);
  result.set("out.image_embeds", image);
  result.set("out.logits", logits);
  set_gradients(result, c, model->state());
  return result;
}

Result blip_itm(const Case& c) {
  const auto model = blip_model<BlipRetriever>(c);
  const Tensor image = model->encode_image(c.in("pixel_values"));
  Result result;
  result.set("out.image_embeds", image);
  if (c.param("use_itm_head", true)) {
    const auto [scores, states] = model->match_states(image, c.in("input_ids"), mask_of(c));
    result.set("out.scores", scores);
    result.set("out.question_embeds", states);
    result.set("out.match_prob", at::softmax(scores, 1).select(1, 1));
  } else {
    const Tensor states = model->encode_text(c.in("input_ids"), mask_of(c));
    result.set("out.scores", model->project_image(image).matmul(model->project_text(states).t()));
    result.set("out.question_embeds", states);
  }
  return result;
}

/// The keyword arguments of transformers' generate().
GenerateOptions hf_options(const Case& c) {
  GenerateOptions o;
  o.beams = c.param("num_beams", int64_t(1));
  o.max_new_tokens = c.param("max_new_tokens", int64_t(0));
  o.max_length = c.param("max_length", int64_t(0));
  if (o.max_new_tokens == 0 && o.max_length == 0) o.max_length = 20;
  if (o.max_new_tokens > 0) o.max_length = 0;
  o.min_length = c.param("min_length", int64_t(0));
  o.min_new_tokens = c.param("min_new_tokens", int64_t(0));
  o.length_penalty = c.param("length_penalty", 1.0);
  o.repetition_penalty = c.param("repetition_penalty", 1.0);
  o.no_repeat_ngram = c.param("no_repeat_ngram_size", int64_t(0));
  if (c.params.contains("early_stopping")) {
    const auto& value = c.params["early_stopping"];
    o.early_stopping = value.is_string() ? value.get<std::string>() : value.get<bool>() ? "true" : "false";
  }
  return o;
}

Result blip_generate(const Case& c) {
  const auto model = blip_model<BlipCaptioner>(c);
  const GenerationTokens tokens = model->generation_tokens();
  const c10::InferenceMode inference;
  const Tensor pixels = c.in("pixel_values");
  Tensor prompt = begin_prompt(pixels.size(0), tokens), mask;
  if (c.has_in("input_ids")) {
    prompt = blip_prompt(c.in("input_ids"), tokens);
    if (c.has_in("attention_mask")) mask = c.in("attention_mask").slice(1, 0, -1);
  }
  Result result;
  result.set("out.ids", generate(*model->begin_caption(pixels), prompt, mask, tokens, hf_options(c)).ids);
  return result;
}

Result blip_vqa_generate(const Case& c) {
  const auto model = blip_model<BlipAnswerer>(c);
  const GenerationTokens tokens = model->generation_tokens();
  const c10::InferenceMode inference;
  const Tensor pixels = c.in("pixel_values");
  const auto state = model->begin_answer(pixels, c.in("input_ids"), mask_of(c));
  Result result;
  result.set("out.ids", generate(*state, begin_prompt(pixels.size(0), tokens), {}, tokens, hf_options(c)).ids);
  return result;
}

}  // namespace family_operations

void add_family_operations(Operations& operations) {
  operations["clip.modified_resnet"] = family_operations::modified_resnet;
  operations["pooling.ggem"] = family_operations::ggem;
  operations["hf_clip.forward"] = family_operations::hf_clip;
  operations["siglip.forward"] = family_operations::siglip;
  operations["coca.forward"] = family_operations::coca_forward;
  operations["coca.generate"] = family_operations::coca_generate;
  operations["blip.caption_forward"] = family_operations::blip_caption_forward;
  operations["blip.vqa_forward"] = family_operations::blip_vqa_forward;
  operations["blip.itm"] = family_operations::blip_itm;
  operations["blip.generate"] = family_operations::blip_generate;
  operations["blip.vqa_generate"] = family_operations::blip_vqa_generate;
}

}  // namespace vlm::golden
