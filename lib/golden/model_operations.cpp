#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/stack.h>

#include "vlm/core/error.h"
#include "vlm/golden/case.h"
#include "vlm/losses/accumulation.h"
#include "vlm/losses/contrastive.h"
#include "vlm/models/clip/clip.h"
#include "vlm/models/state.h"

namespace vlm::golden {

namespace model_operations {

ClipConfig config_of(const Case& c) { return ClipConfig::from_open_clip(c.config().dump(), (c.folder / "config.json").string()); }

/// The weights below a prefix, which is taken off.
TensorMap below(const TensorMap& weights, const std::string& prefix) {
  TensorMap out;
  for (const auto& [name, tensor] : weights) {
    if (name.rfind(prefix, 0) == 0) out.emplace(name.substr(prefix.size()), tensor);
  }
  return out;
}

void set_trace(Result& result, const Trace& trace) {
  if (trace.embeds.defined()) result.set("out.embeds", trace.embeds);
  for (size_t i = 0; i < trace.blocks.size(); ++i) result.set("out.block." + std::to_string(i), trace.blocks[i]);
}

Result vit(const Case& c) {
  const ClipConfig config = config_of(c);
  VisionTransformer tower(config.vision_cfg, config.embed_dim);
  tower.eval();
  load_state(module_state(tower), below(c.weights(), "visual."), c.folder.string());
  Trace trace;
  const VisionOutput out = tower.forward(c.in("image"), &trace);
  Result result;
  result.set("out.features", out.features);
  result.set("out.tokens", out.tokens);
  set_trace(result, trace);
  return result;
}

Result text(const Case& c) {
  const ClipConfig config = config_of(c);
  TextTransformer tower(config.text_cfg, config.embed_dim);
  tower.eval();
  const TensorMap weights = c.weights();
  load_state(module_state(tower), weights.count("text.positional_embedding") ? below(weights, "text.") : weights, c.folder.string());
  Trace trace;
  const TextOutput out = tower.forward(c.in("ids"), &trace);
  Result result;
  result.set("out.features", out.features);
  result.set("out.tokens", out.tokens);
  set_trace(result, trace);
  if (c.wants("out.allowed")) result.set("out.allowed", tower.allowed_with_cls(c.in("ids")).to(at::kLong));
  return result;
}

Result forward(const Case& c) {
  ClipModel model(config_of(c));
  load_state(model.state(), c.weights(), c.folder.string());
  const Tensor pixels = c.in("image").clone().requires_grad_();
  const Tensor image = model.embed_images(pixels), text = model.embed_texts(c.in("ids"));
  const Tensor scale = model.logit_scale(), bias = model.logit_bias();
  Tensor logits = scale * image.matmul(text.t());
  if (bias.defined()) logits = logits + bias;
  const Tensor loss = contrastive_loss(image, text, scale, bias);
  loss.backward();
  Result result;
  result.set("out.image_features", image);
  result.set("out.text_features", text);
  result.set("out.logit_scale", scale);
  result.set("out.logits_per_image", logits);
  result.set("out.logits_per_text", logits.t());
  result.set("out.loss", loss);
  if (pixels.grad().defined()) result.set("grad.image", pixels.grad());
  for (const auto& [name, tensor] : model.state()) {
    if (tensor.grad().defined()) result.set("grad." + name, tensor.grad());
  }
  return result;
}

Result accumulated(const Case& c) {
  ClipModel model(config_of(c));
  load_state(model.state(), c.weights(), c.folder.string());
  const auto micro_batches = c.params.at("accum_freq").get<int64_t>();
  const auto embed = [&](int64_t j) {
    const std::string number = "." + std::to_string(j);
    return PairedFeatures{model.embed_images(c.in("image" + number)), model.embed_texts(c.in("ids" + number))};
  };
  const auto loss = [&](const PairedFeatures& all) { return contrastive_loss(all.image, all.text, model.logit_scale(), model.logit_bias()); };
  const auto losses = accumulate_contrastive(micro_batches, embed, loss);
  std::vector<Tensor> images, texts;
  for (int64_t j = 0; j < micro_batches; ++j) {
    const auto features = embed(j);
    images.push_back(features.image.detach());
    texts.push_back(features.text.detach());
  }
  Result result;
  result.set("out.losses", at::stack(losses));
  result.set("out.full_loss", loss({at::cat(images), at::cat(texts)}));
  for (const auto& [name, tensor] : model.state()) {
    if (tensor.grad().defined()) result.set("grad." + name, tensor.grad());
  }
  return result;
}

Result patch_dropout(const Case& c) {
  Result result;
  result.set("out.tokens", drop_patches(c.in("tokens"), c.in("keys"), c.params.at("prob")));
  return result;
}

Result resize_pos_embed(const Case& c) {
  const auto& grid = c.params.at("grid");
  const int64_t height = grid.is_array() ? grid[0].get<int64_t>() : grid.get<int64_t>();
  const int64_t width = grid.is_array() ? grid[1].get<int64_t>() : height;
  Result result;
  result.set("out.pos_embed", resize_position_table(c.in("pos_embed"), height, width, c.param("prefix_tokens", int64_t(1)), c.param("antialias", true)));
  return result;
}

Result resize_text_pos_embed(const Case& c) {
  Result result;
  result.set("out.pos_embed", resize_text_position_table(c.in("pos_embed"), c.params.at("length")));
  return result;
}

}  // namespace model_operations

void add_model_operations(Operations& operations) {
  operations["clip.vit"] = model_operations::vit;
  operations["clip.text"] = model_operations::text;
  operations["clip.forward"] = model_operations::forward;
  operations["clip.accum"] = model_operations::accumulated;
  operations["clip.patch_dropout"] = model_operations::patch_dropout;
  operations["clip.resize_pos_embed"] = model_operations::resize_pos_embed;
  operations["clip.resize_text_pos_embed"] = model_operations::resize_text_pos_embed;
}

}  // namespace vlm::golden
