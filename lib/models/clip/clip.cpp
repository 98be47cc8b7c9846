#include "vlm/models/clip/clip.h"

#include <ATen/ops/full.h>

#include <cmath>

#include <nlohmann/json.hpp>

#include "vlm/core/error.h"
#include "vlm/models/layers/modified_resnet.h"
#include "vlm/models/siglip/tower.h"

namespace vlm {

std::shared_ptr<VisionTower> make_vision_tower(const ClipConfig& config) {
  const auto& v = config.vision_cfg;
  if (v.siglip_tower) {
    if (config.embed_dim != v.siglip.width) {
      fail_usage("embed_dim must be the width of SigLIP's image tower, ", v.siglip.width, ", not ", config.embed_dim);
    }
    return std::make_shared<SiglipVision>(v.siglip, v.image_height(), v.image_width());
  }
  if (v.is_resnet()) return std::make_shared<ModifiedResNet>(v, config.embed_dim);
  return std::make_shared<VisionTransformer>(v, config.embed_dim);
}

ClipModel::ClipModel(const ClipConfig& config) : config_(config) {
  const std::vector<int64_t> shape = config.nonscalar_logit_scale ? std::vector<int64_t>{1} : std::vector<int64_t>{};
  visual = register_module("visual", make_vision_tower(config));
  text_ = std::make_shared<TextTransformer>(config.text_cfg, config.embed_dim);
  if (config.custom_text) {
    register_module("text", text_);
  } else {
    // The flat layout of OpenAI: the text tower's weights stand at the top, beside visual.*
    for (const auto& parameter : text_->named_parameters(/*recurse=*/false)) register_parameter(parameter.key(), parameter.value());
    for (const auto& child : text_->named_children()) register_module(child.key(), child.value());
  }
  log_scale_ = register_parameter("logit_scale", at::full(shape, config.init_logit_scale));
  if (!std::isnan(config.init_logit_bias)) bias_ = register_parameter("logit_bias", at::full(shape, config.init_logit_bias));
  if (config.independent_features) add_independent_features();
  torch::nn::Module::train(false);
}

void ClipModel::add_independent_features() {
  const auto refuse = [](const char* why) {
    fail_usage("independent_features needs towers that project one pooled vector, so that a second layer can look at the same: ", why);
  };
  if (config_.is_siglip()) refuse("SigLIP's image tower has no projection");
  if (visual->pooled_width() == 0) refuse("vision_cfg.attentional_pool is true or false then");
  if (config_.text_cfg.proj_type != "linear") refuse("text_cfg.proj_type is none; take linear");
  // The last to be drawn: the other weights of a new model are those of one without.
  vision_proj_ind = register_module("vision_proj_ind", std::make_shared<Linear>(visual->pooled_width(), config_.embed_dim));
  text_proj_ind = register_module("text_proj_ind", std::make_shared<Linear>(config_.text_cfg.width, config_.embed_dim));
}

std::pair<Tensor, Tensor> ClipModel::embed_images_with_own(const Tensor& pixels) {
  if (!vision_proj_ind) fail("this CLIP model was made without independent_features");
  const VisionOutput out = visual->forward(pixels);
  return {normalize(out.features), normalize(vision_proj_ind->forward(out.pooled))};
}

std::pair<Tensor, Tensor> ClipModel::embed_texts_with_own(const Tensor& ids) {
  if (!text_proj_ind) fail("this CLIP model was made without independent_features");
  const TextOutput out = text_->forward(ids);
  return {normalize(out.features), normalize(text_proj_ind->forward(out.pooled))};
}

std::vector<NamedTensor> ClipModel::trainable() const {
  std::vector<NamedTensor> out;
  for (auto& parameter : module_parameters(*this)) {
    if (parameter.tensor.requires_grad()) out.push_back(std::move(parameter));
  }
  return out;
}

nlohmann::ordered_json ClipModel::config() const { return config_.to_open_clip(); }

void ClipModel::after_step() {
  at::NoGradGuard no_grad;
  Tensor scale = log_scale_;
  scale.clamp_(0, std::log(100.0));
}

std::pair<int64_t, int64_t> ClipModel::image_size() const {
  return {config_.vision_cfg.image_height(), config_.vision_cfg.image_width()};
}

}  // namespace vlm
