#include "vlm/models/mplug/networks.h"

#include <ATen/ops/dropout.h>
#include <ATen/ops/matmul.h>

#include "vlm/core/error.h"

namespace vlm {

MplugImageTower::MplugImageTower(const MplugConfig& config) {
  visual = register_module("visual", std::make_shared<VisionTransformer>(config.clip(), config.skip_last_layer ? 0 : config.clip_embed_dim));
}

Tensor MplugImageTower::forward(const Tensor& pixels) const {
  const Tensor x = visual->states(pixels);
  return visual->proj.defined() ? at::matmul(x, visual->proj) : visual->ln_post->forward(x);
}

namespace mplug_networks {

bool reads_text(MplugTask task) { return task != MplugTask::caption; }
bool writes_text(MplugTask task) {
  return task == MplugTask::caption || task == MplugTask::vqa || task == MplugTask::pretrain || task == MplugTask::grounding;
}
bool compares(MplugTask task) { return task == MplugTask::retrieval || task == MplugTask::pretrain; }

}  // namespace mplug_networks

MplugNetworks::MplugNetworks(torch::nn::Module& owner, const MplugConfig& config, const std::string& suffix) : dropout_(config.hidden_dropout) {
  using namespace mplug_networks;
  const int64_t width = config.hidden_size;
  visual_encoder = owner.register_module("visual_encoder" + suffix, std::make_shared<MplugImageTower>(config));
  if (config.large()) {
    visn_fc = owner.register_module("visn_fc" + suffix, std::make_shared<Linear>(config.vision_width, width));
    visn_layer_norm = owner.register_module("visn_layer_norm" + suffix, std::make_shared<LayerNorm>(width, 1e-12));
  }
  if (reads_text(config.task)) {
    text_encoder = owner.register_module("text_encoder" + suffix, std::make_shared<BertModel>(config.bert(config.text_encoder_layers, false)));
    if (config.task == MplugTask::pretrain) {
      fusion_lm = owner.register_module("fusion_encoder" + suffix, std::make_shared<MplugFusionLm>(config));
      fusion_encoder = fusion_lm->bert;
    } else {
      fusion_encoder = owner.register_module("fusion_encoder" + suffix, std::make_shared<MplugFusionEncoder>(config));
    }
  }
  if (writes_text(config.task)) {
    text_decoder = owner.register_module("text_decoder" + suffix, std::make_shared<BertLanguageModel>(config.bert(config.text_decode_layers, true)));
  }
  if (compares(config.task)) {
    vision_proj = owner.register_module("vision_proj" + suffix, std::make_shared<Linear>(width, config.embed_dim));
    text_proj = owner.register_module("text_proj" + suffix, std::make_shared<Linear>(width, config.embed_dim));
  }
}

Tensor MplugNetworks::encode_image(const Tensor& pixels) const {
  if (pixels.dim() == 5) {
    const int64_t videos = pixels.size(0), frames = pixels.size(1);
    const Tensor states = encode_image(pixels.flatten(0, 1));                                // [B N, P, H]
    return states.reshape({videos, frames * states.size(1), states.size(2)});                // [B, N P, H]
  }
  Tensor x = visual_encoder->forward(pixels);                                                // [B, P, Wv]
  if (!visn_fc) return x;
  x = visn_layer_norm->forward(visn_fc->forward(x));                                         // [B, P, H]
  return visual_encoder->is_training() && dropout_ > 0 ? at::dropout(x, dropout_, true) : x;
}

Tensor MplugNetworks::encode_text(const Tensor& ids, const Tensor& mask) const {
  return text_encoder->forward(ids, additive_key_mask(mask, text_encoder->options().self_mask));
}

Tensor MplugNetworks::project_video(const Tensor& image, int64_t frames) const {
  if (frames <= 0 || image.size(1) % frames != 0) fail("the states of ", image.size(1), " tokens are not those of ", frames, " frames");
  const Tensor first = image.reshape({image.size(0), frames, image.size(1) / frames, image.size(2)}).select(2, 0);  // [B, N, H]
  return normalize(vision_proj->forward(first).mean(1));
}

std::vector<std::shared_ptr<torch::nn::Module>> MplugNetworks::followed() const {
  std::vector<std::shared_ptr<torch::nn::Module>> out;
  const auto add = [&](const std::shared_ptr<torch::nn::Module>& module) {
    if (module) out.push_back(module);
  };
  add(visual_encoder);
  add(visn_fc);
  add(visn_layer_norm);
  add(text_encoder);
  add(text_decoder);
  add(vision_proj);
  add(text_proj);
  return out;
}

}  // namespace vlm
