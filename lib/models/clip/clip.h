#pragma once
/// CLIP (Radford et al., arXiv 2103.00020) and SigLIP (arXiv 2303.15343) under the weight names of OpenAI and open_clip.

#include <memory>

#include "vlm/models/clip/text_tower.h"
#include "vlm/models/interfaces.h"

namespace vlm {

/// The image tower that a configuration asks for.
std::shared_ptr<VisionTower> make_vision_tower(const ClipConfig& config);

class ClipModel : public torch::nn::Module, public Model, public DualEncoder, public IndependentFeatures {
 public:
  explicit ClipModel(const ClipConfig& config);

  // Model
  std::string family() const override { return config_.is_siglip() ? "siglip" : "clip"; }
  std::vector<NamedTensor> state() const override { return module_state(*this); }
  std::vector<NamedTensor> trainable() const override;
  void set_training(bool on) override { torch::nn::Module::train(on); }
  nlohmann::ordered_json config() const override;
  /// Keeps the logarithm of the scale within 0 .. ln 100, as the paper does.
  void after_step() override;
  bool set_recompute(bool on) override { return set_recompute_in(*this, on); }

  // DualEncoder
  Tensor embed_images(const Tensor& pixels) override { return normalize(encode_image(pixels)); }
  Tensor embed_texts(const Tensor& ids) override { return normalize(encode_text(ids)); }
  Tensor logit_scale() const override { return log_scale_.exp(); }
  Tensor logit_bias() const override { return bias_; }
  std::pair<int64_t, int64_t> image_size() const override;
  int64_t context_length() const override { return config_.text_cfg.context_length; }

  // IndependentFeatures
  bool has_independent_features() const override { return config_.independent_features; }
  std::pair<Tensor, Tensor> embed_images_with_own(const Tensor& pixels) override;
  std::pair<Tensor, Tensor> embed_texts_with_own(const Tensor& ids) override;

  const ClipConfig& architecture() const { return config_; }
  /// Features before normalisation: [B, E].
  Tensor encode_image(const Tensor& pixels) const { return visual->forward(pixels).features; }
  Tensor encode_text(const Tensor& ids) const { return text_->forward(ids).features; }

  const TextTransformer& text() const { return *text_; }

  std::shared_ptr<VisionTower> visual;
  std::shared_ptr<Linear> vision_proj_ind, text_proj_ind;  ///< pooled [B, D] -> [B, E]; absent without independent_features

 private:
  void add_independent_features();

  ClipConfig config_;
  Tensor log_scale_, bias_;
  std::shared_ptr<TextTransformer> text_;
};

}  // namespace vlm
