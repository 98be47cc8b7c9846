/// The networks of ALBEF's kin one by one (specs: alignment, 1 and 3.1).

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros_like.h>

#include "vlm/core/strings.h"
#include "vlm/golden/albef_case.h"
#include "vlm/losses/language_modeling.h"
#include "vlm/losses/masked_language_modeling.h"
#include "vlm/models/names/albef_names.h"
#include "vlm/models/names/bert_names.h"
#include "vlm/models/state.h"

namespace vlm::golden {

namespace albef_model_cases {

/// The state of a part below `prefix`, filled with the case's weights, under the whole names.
template <class Module>
std::vector<NamedTensor> fill(Module& module, const Case& c, const std::string& prefix) {
  std::vector<NamedTensor> state;
  for (const auto& [name, tensor] : without_second_names(module_state(module))) state.push_back({prefix + name, tensor});
  TensorMap weights;
  for (const auto& [name, tensor] : without_derived_bert(c.weights())) {
    if (starts_with(name, prefix)) weights.emplace(name, tensor.clone());
  }
  load_state(state, weights, c.folder.string());
  module.train(false);
  return state;
}

Tensor mask_of(const Case& c, const char* name) { return c.has_in(name) ? c.in(name) : Tensor(); }

Tensor cotangent_loss(const Case& c, const Tensor& out) { return (out * c.in("cotangent")).sum() / static_cast<double>(out.numel()); }

Result vit(const Case& c) {
  TimmVision tower(albef_config(c, AlbefTask::pretrain).vision);
  const auto state = fill(tower, c, "visual_encoder.");
  const Tensor image = wanted_leaf(c, "image"), tokens = tower.forward(image), loss = cotangent_loss(c, tokens);
  loss.backward();
  Result result;
  result.set("out.image_embeds", tokens);
  result.set("out.loss", loss);
  set_model_results(result, c, state, {{"image", image}});
  return result;
}

Result pos_embed(const Case& c) {
  Result result;
  result.set("out.pos_embed", resize_timm_positions(c.in("pos_embed"), c.params.at("new_side").get<int64_t>()));
  return result;
}

Result bert_text(const Case& c) {
  BertLanguageModel network(albef_config(c, AlbefTask::pretrain).text);
  const auto state = fill(network, c, "text_encoder.");
  const Tensor text = network.bert->encode_text(c.in("input_ids"), mask_of(c, "attention_mask")), loss = cotangent_loss(c, text);
  loss.backward();
  Result result;
  result.set("out.text_embeds", text);
  result.set("out.loss", loss);
  set_model_results(result, c, state);
  return result;
}

Result bert_fusion(const Case& c) {
  BertLanguageModel network(albef_config(c, AlbefTask::pretrain).text);
  const auto state = fill(network, c, "text_encoder.");
  const Tensor text = wanted_leaf(c, "text_embeds"), image = wanted_leaf(c, "image_embeds"), mask = mask_of(c, "attention_mask");
  const std::vector<BertContext> contexts = {BertContext(image, mask_of(c, "image_attention_mask"))};
  const Tensor fused = network.bert->fuse(text, mask, contexts), loss = cotangent_loss(c, fused);
  loss.backward();
  Result result;
  result.set("out.fusion", fused);
  result.set("out.multi_modal", network.bert->encode_pair(c.in("input_ids"), mask, contexts));
  result.set("out.loss", loss);
  set_model_results(result, c, state, {{"text_embeds", text}, {"image_embeds", image}});
  return result;
}

Result bert_mlm(const Case& c) {
  BertLanguageModel network(albef_config(c, AlbefTask::pretrain).text);
  const auto state = fill(network, c, "text_encoder.");
  const Tensor image = wanted_leaf(c, "image_embeds");
  const Tensor logits = network.logits(
      network.bert->encode_pair(c.in("input_ids"), mask_of(c, "attention_mask"), {{image, mask_of(c, "image_attention_mask")}}));
  const Tensor loss = masked_language_modeling_loss(logits, c.in("labels"));
  loss.backward();
  Result result;
  result.set("out.logits", logits);
  result.set("out.loss", loss);
  set_model_results(result, c, state, {{"image_embeds", image}});
  return result;
}

Result bert_decoder(const Case& c) {
  // Configuration and parameters both say that layers look at the picture from the first on.
  BertOptions options = albef_config(c, AlbefTask::pretrain).text;
  options.fusion_layer = c.param("fusion_layer", int64_t(0));
  options.layers = c.param("num_hidden_layers", options.layers);
  BertLanguageModel network(options);
  fill(network, c, "text_decoder.");
  const Tensor ids = c.in("input_ids"), mask = mask_of(c, "attention_mask");
  const Tensor logits = network.forward(ids, mask, c.in("encoder_hidden_states"), mask_of(c, "encoder_attention_mask"));
  const Tensor labels = c.has_in("labels") ? c.in("labels") : ids.masked_fill(ids.eq(options.padding), -100);
  Result result;
  result.set("out.logits", logits);
  result.set("out.row_loss", next_token_row_losses(logits, labels));
  return result;
}

Result remap_keys(const Case& c) {
  nlohmann::json keys = nlohmann::json::array(), from = nlohmann::json::array();
  const auto names = albef_task_names(c.in_strings("keys"), albef_renaming_named(c.params.at("task")), c.param("fusion_layer", int64_t(6)));
  for (const auto& [name, source] : names) {
    keys.push_back(name);
    from.push_back(source);
  }
  Result result;
  result.set_strings("out.keys", keys);
  result.set_strings("out.from", from);
  return result;
}

}  // namespace albef_model_cases

void add_albef_model_operations(Operations& operations) {
  operations["alignment.vit"] = albef_model_cases::vit;
  operations["alignment.pos_embed_interpolate"] = albef_model_cases::pos_embed;
  operations["alignment.bert_text"] = albef_model_cases::bert_text;
  operations["alignment.bert_fusion"] = albef_model_cases::bert_fusion;
  operations["alignment.bert_mlm"] = albef_model_cases::bert_mlm;
  operations["alignment.bert_decoder"] = albef_model_cases::bert_decoder;
  operations["albef.remap_keys"] = albef_model_cases::remap_keys;
}

}  // namespace vlm::golden
