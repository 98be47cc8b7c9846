#pragma once
/// BLIP (Li et al., arXiv 2201.12086) under HF's weight names: captioning, question answering, and image-text matching.
/// Specs: clip, 5.3.

#include <algorithm>
#include <memory>

#include "vlm/io/tensor_map.h"
#include "vlm/models/blip/vision.h"
#include "vlm/models/attention_explainable.h"
#include "vlm/models/layers/bert_lm.h"
#include "vlm/models/trainable.h"

namespace vlm {

/// What the three have in common.
class BlipModel : public torch::nn::Module, public Model, public PictureModel {
 public:
  std::string family() const override { return "blip"; }
  std::vector<NamedTensor> state() const override { return module_state(*this); }
  std::vector<NamedTensor> trainable() const override { return module_parameters(*this); }
  void set_training(bool on) override { torch::nn::Module::train(on); }
  nlohmann::ordered_json config() const override;
  bool set_recompute(bool on) override { return set_recompute_in(*this, on); }
  std::pair<int64_t, int64_t> picture_size() const override { return {config_.vision.image_size, config_.vision.image_size}; }

  const BlipConfig& architecture() const { return config_; }
  /// pixels: [B, 3, S, S]. Returns [B, N + 1, D].
  Tensor encode_image(const Tensor& pixels) const { return vision_model->forward(pixels); }

  std::shared_ptr<BlipVision> vision_model;

 protected:
  BlipModel(const BlipConfig& config, const char* head);

  BlipConfig config_;
};

class BlipCaptioner : public BlipModel, public Captioner, public CaptionTrainable {
 public:
  explicit BlipCaptioner(const BlipConfig& config);
  std::unique_ptr<DecoderState> begin_caption(const Tensor& pixels) override { return text_decoder->begin(encode_image(pixels)); }
  GenerationTokens generation_tokens() const override;
  Tensor caption_logits(const Tensor& pixels, const Tensor& ids, const Tensor& mask) override {
    return text_decoder->forward(ids, mask, encode_image(pixels));
  }

  std::shared_ptr<BertLanguageModel> text_decoder;
};

class BlipAnswerer : public BlipModel, public Answerer, public AnswerTrainable {
 public:
  explicit BlipAnswerer(const BlipConfig& config);
  /// States of the question, looking at the picture: [B, L, D].
  Tensor encode_question(const Tensor& image, const Tensor& question, const Tensor& mask) const;
  std::unique_ptr<DecoderState> begin_answer(const Tensor& pixels, const Tensor& question, const Tensor& mask) override;
  GenerationTokens generation_tokens() const override;
  Tensor answer_logits(const AnswerBatch& batch) override;

  std::shared_ptr<BertModel> text_encoder;
  std::shared_ptr<BertLanguageModel> text_decoder;
};

class BlipRetriever : public BlipModel, public DualEncoder, public AttentionExplainable {
 public:
  explicit BlipRetriever(const BlipConfig& config);
  /// Text states without a look at the picture, [B, L, D]; mask: [B, L] or undefined.
  Tensor encode_text(const Tensor& ids, const Tensor& mask) const;
  /// Logits of "no match" and "match", [B, 2], and the text states they come from.
  std::pair<Tensor, Tensor> match_states(const Tensor& image, const Tensor& ids, const Tensor& mask, AttentionTrace* trace = nullptr) const;
  Tensor project_image(const Tensor& image) const { return normalize(vision_proj->forward(image.select(1, 0))); }
  Tensor project_text(const Tensor& states) const { return normalize(text_proj->forward(states.select(1, 0))); }

  Tensor match(const Tensor& pixels, const Tensor& ids, const Tensor& mask) override;
  Tensor match_pictures(const Tensor& pixels) override { return encode_image(pixels); }
  /// The ids themselves: texts are read while the picture is looked at.
  Tensor match_texts(const Tensor& ids, const Tensor&) override { return ids; }
  Tensor embed_matched(const Tensor& pictures) override { return project_image(pictures); }
  Tensor match_logits(const Tensor& pictures, const Tensor& texts, const Tensor& mask) override {
    return match_states(pictures, texts, mask).first;
  }
  std::vector<int64_t> looking_layers() const override { return text_encoder->looking_layers(); }
  Tensor traced_match_logits(const Tensor& pictures, const Tensor& texts, const Tensor& mask, AttentionTrace& trace) override {
    return match_states(pictures, texts, mask, &trace).first;
  }
  Tensor embed_images(const Tensor& pixels) override { return project_image(encode_image(pixels)); }
  /// Ids that equal the padding are not looked at.
  Tensor embed_texts(const Tensor& ids) override { return project_text(encode_text(ids, ids.ne(config_.pad))); }
  /// Cosines are not scaled.
  Tensor logit_scale() const override;
  Tensor logit_bias() const override { return {}; }
  std::pair<int64_t, int64_t> image_size() const override { return picture_size(); }
  /// What the original implementation cuts texts to.
  int64_t context_length() const override { return std::min<int64_t>(35, config_.text.positions); }

  std::shared_ptr<BertModel> text_encoder;
  std::shared_ptr<Linear> vision_proj, text_proj, itm_head;
};

/// A tokenized prompt ([CLS] … [SEP]) as the captioner takes it: the first id becomes `begin`, the last one is dropped.
Tensor blip_prompt(const Tensor& ids, const GenerationTokens& tokens);

/// The model for a configuration; where that names no head, the names in a weight file decide.
std::unique_ptr<BlipModel> make_blip(BlipConfig config, const TensorMap& weights);

}  // namespace vlm
