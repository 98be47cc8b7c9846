#pragma once
/// CoCa (Yu et al., arXiv 2205.01917) under open_clip's weight names: a dual encoder whose text tower feeds a decoder that
/// writes captions. Specs: clip, 4.

#include <memory>

#include "vlm/models/clip/text_tower.h"
#include "vlm/models/coca/decoder.h"
#include "vlm/models/trainable.h"

namespace vlm {

struct CocaOutput {
  Tensor image_features, text_features;  ///< [B, E], unit length
  Tensor logits;                         ///< [B, L, V]; in training [B, L - 1, V]
  Tensor labels;                         ///< [B, L - 1], in training
  Tensor image_embs, token_embs;         ///< [B, Q - 1, E], [B, L, D]
};

class CocaModel : public torch::nn::Module,
                  public Model,
                  public DualEncoder,
                  public Captioner,
                  public CaptionTrainable,
                  public PairCaptionTrainable,
                  public PictureModel {
 public:
  explicit CocaModel(const ClipConfig& config);

  // Model
  std::string family() const override { return "coca"; }
  std::vector<NamedTensor> state() const override { return module_state(*this); }
  std::vector<NamedTensor> trainable() const override { return module_parameters(*this); }
  void set_training(bool on) override { torch::nn::Module::train(on); }
  nlohmann::ordered_json config() const override;
  void after_step() override;
  bool set_recompute(bool on) override { return set_recompute_in(*this, on); }

  // DualEncoder
  Tensor embed_images(const Tensor& pixels) override { return normalize(visual->forward(pixels).features); }
  Tensor embed_texts(const Tensor& ids) override { return normalize(text->forward(ids).features); }
  Tensor logit_scale() const override { return log_scale_.exp(); }
  Tensor logit_bias() const override { return bias_; }
  std::pair<int64_t, int64_t> image_size() const override { return {config_.vision_cfg.image_height(), config_.vision_cfg.image_width()}; }
  int64_t context_length() const override { return config_.text_cfg.context_length; }

  // Captioner
  std::unique_ptr<DecoderState> begin_caption(const Tensor& pixels) override;
  GenerationTokens generation_tokens() const override;
  std::pair<int64_t, int64_t> picture_size() const override { return image_size(); }

  // CaptionTrainable, PairCaptionTrainable
  Tensor caption_logits(const Tensor& pixels, const Tensor& ids, const Tensor& mask) override;
  CaptionedPairs captioned_pairs(const Tensor& pixels, const Tensor& ids) override;

  /// pixels: [B, 3, H, W], ids: [B, L]. With `labels`, as in training: logits of all positions but the last, and what follows them.
  CocaOutput forward(const Tensor& pixels, const Tensor& ids, bool labels) const;

  std::shared_ptr<VisionTower> visual;
  std::shared_ptr<TextTransformer> text;
  std::shared_ptr<MultimodalDecoder> text_decoder;

 private:
  ClipConfig config_;
  Tensor log_scale_, bias_;
};

}  // namespace vlm
