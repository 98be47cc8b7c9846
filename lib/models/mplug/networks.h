#pragma once
/// The networks that an mPLUG is put together from (specs: mplug, 1): what learns, or, under names that end in _m, the slow copies of
/// it that give soft targets. Which of them there are follows from the task.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "vlm/models/layers/bert_lm.h"
#include "vlm/models/layers/vit.h"
#include "vlm/models/mplug/fusion.h"

namespace vlm {

/// CLIP's image tower under "visual.".
class MplugImageTower : public torch::nn::Module {
 public:
  explicit MplugImageTower(const MplugConfig& config);
  /// pixels: [B, 3, h, w]. All tokens, the class token first: [B, P, Wv] after ln_post; with skip_last_layer off x proj, without
  /// ln_post, [B, P, clip_embed_dim].
  Tensor forward(const Tensor& pixels) const;

  std::shared_ptr<VisionTransformer> visual;
};

class MplugNetworks {
 public:
  MplugNetworks() = default;
  /// Registers them with `owner` under their released names plus `suffix`.
  MplugNetworks(torch::nn::Module& owner, const MplugConfig& config, const std::string& suffix);

  /// pixels: [B, 3, h, w], or [B, N, 3, h, w]: frames, whose tokens stand one behind the other. Returns [B, (N) P, H].
  Tensor encode_image(const Tensor& pixels) const;
  /// ids, mask: [B, L], 0 in the mask for padding. Returns [B, L, H].
  Tensor encode_text(const Tensor& ids, const Tensor& mask) const;
  /// states: [B, L, H], of encode_image() or encode_text(). Returns unit vectors [B, E] of the first token.
  Tensor project_image(const Tensor& states) const { return normalize(vision_proj->forward(states.select(1, 0))); }
  Tensor project_text(const Tensor& states) const { return normalize(text_proj->forward(states.select(1, 0))); }
  /// The same for videos: pixels [B, N, 3, h, w], the mean over frames before it gets unit length (specs: mplug, 3.7). image: the
  /// states of encode_image().
  Tensor project_video(const Tensor& image, int64_t frames) const;

  std::shared_ptr<MplugImageTower> visual_encoder;
  std::shared_ptr<Linear> visn_fc;                      ///< to the text's width, where the picture's is another
  std::shared_ptr<LayerNorm> visn_layer_norm;
  std::shared_ptr<BertModel> text_encoder;
  std::shared_ptr<MplugFusionEncoder> fusion_encoder;
  std::shared_ptr<MplugFusionLm> fusion_lm;             ///< pretraining: what fusion_encoder is a part of
  std::shared_ptr<BertLanguageModel> text_decoder;
  std::shared_ptr<Linear> vision_proj, text_proj;

  /// Modules that have a slow copy which follows them. The fusion encoder is not among them, as in the reference: its copy keeps
  /// what it began with.
  std::vector<std::shared_ptr<torch::nn::Module>> followed() const;

 private:
  double dropout_ = 0;
};

}  // namespace vlm
