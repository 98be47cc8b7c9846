#pragma once
/// mPLUG (Li et al., arXiv 2205.12005) under the names of the authors' checkpoints: captions, answers, image-text matching,
/// pretraining, boxes, and classes of text-picture pairs. Specs: mplug.

#include <algorithm>
#include <memory>

#include "vlm/io/tensor_map.h"
#include "vlm/models/answer_ranker.h"
#include "vlm/models/attention_explainable.h"
#include "vlm/models/layers/momentum_copy.h"
#include "vlm/models/mplug/networks.h"
#include "vlm/models/trainable.h"
#include "vlm/models/video_model.h"

namespace vlm {

/// What all of them have in common: the networks of the task, and their slow copies where the configuration says `distill`.
class MplugModel : public torch::nn::Module, public Model, public PictureModel, public VideoModel, public MomentumTaught {
 public:
  std::string family() const override { return "mplug"; }
  std::vector<NamedTensor> state() const override { return module_state(*this); }
  std::vector<NamedTensor> trainable() const override;
  void set_training(bool on) override { torch::nn::Module::train(on); }
  nlohmann::ordered_json config() const override;
  bool set_recompute(bool on) override { return set_recompute_in(*this, on); }
  std::pair<int64_t, int64_t> picture_size() const override { return {config_.image_res, config_.image_res}; }
  /// All but the fusion encoder, whose copy the reference leaves as it begins.
  std::vector<MomentumTensors> momentum_tensors() const override;

  const MplugConfig& architecture() const { return config_; }
  bool has_copies() const { return config_.distill; }
  /// Makes the slow copies, and the queues of a model that compares, of a model that has none.
  void add_copies();
  /// pixels: [B, 3, S, S] or frames [B, N, 3, S, S]. Returns [B, (N) P, H].
  Tensor encode_image(const Tensor& pixels) const { return networks.encode_image(pixels); }
  /// Text states [B, L, H] beside picture states [B, P, H].
  MplugFused fuse(const Tensor& image, const Tensor& text, const Tensor& text_mask, AttentionTrace* trace = nullptr) const {
    return networks.fusion_encoder->forward(text, text_mask, image, {}, trace);
  }
  /// What a decoder looks at once a text has been read beside a picture: [B, P + L, H].
  BertContext read(const Tensor& image, const Tensor& ids, const Tensor& mask) const;
  /// Logits of "no match" and "match" of text states beside picture states, [B, 2].
  Tensor pair_logits(const Tensor& image, const Tensor& text, const Tensor& text_mask, AttentionTrace* trace = nullptr) const {
    return itm_head->forward(fuse(image, text, text_mask, trace).text.select(1, 0));
  }
  /// temp into 0.001 … 0.5, in place: pretraining does so before every step.
  void clamp_temperature();

  MplugNetworks networks, copies;
  // Of models that compare pictures and texts:
  std::shared_ptr<Linear> itm_head;
  Tensor temp;                     ///< scalar: what similarities are divided by
  Tensor image_queue, text_queue;  ///< [E, Q], with slow copies only
  Tensor idx_queue, queue_ptr;     ///< [1, Q], of retrieval; [1]; int64

 protected:
  MplugModel(const MplugConfig& config, MplugTask task);
  GenerationTokens tokens() const;

  MplugConfig config_;
};

/// Describes pictures and videos; the decoder looks at the image states alone.
class MplugCaptioner : public MplugModel, public Captioner, public CaptionTrainable {
 public:
  explicit MplugCaptioner(const MplugConfig& config) : MplugCaptioner(config, MplugTask::caption) {}
  std::unique_ptr<DecoderState> begin_caption(const Tensor& pixels) override { return networks.text_decoder->begin(encode_image(pixels)); }
  GenerationTokens generation_tokens() const override { return tokens(); }
  UsualSearch usual_caption_search() const override;
  /// The configured prompt without its last id, as in the reference, which takes that for [SEP]; undefined where there is no prompt.
  Tensor video_prompt() const override;
  Tensor caption_logits(const Tensor& pixels, const Tensor& ids, const Tensor& mask) override {
    return networks.text_decoder->forward(ids, mask, encode_image(pixels));
  }
  Tensor several_caption_logits(const Tensor& pixels, const Tensor& row, const Tensor& ids, const Tensor& mask) override {
    return networks.text_decoder->forward(ids, mask, encode_image(pixels).index_select(0, row));
  }
  AnswerWording answer_wording() const override { return {.label_smoothing = 0}; }

 protected:
  MplugCaptioner(const MplugConfig& config, MplugTask task);
};

/// Answers questions; can caption as well, as its decoder reads a picture alone, too.
class MplugAnswerer : public MplugCaptioner, public Answerer, public AnswerTrainable, public AnswerRanker {
 public:
  explicit MplugAnswerer(const MplugConfig& config) : MplugAnswerer(config, MplugTask::vqa) {}
  std::unique_ptr<DecoderState> begin_answer(const Tensor& pixels, const Tensor& question, const Tensor& mask) override;
  UsualSearch usual_answer_search() const override;
  /// Padding of questions is never looked at, whatever the batch says.
  Tensor answer_logits(const AnswerBatch& batch) override;
  std::pair<Tensor, Tensor> read_question(const Tensor& pixels, const Tensor& question, const Tensor& mask) const override;
  Tensor decode_answers(const Tensor& answers, const Tensor& answer_mask, const Tensor& states, const Tensor& mask) const override {
    return networks.text_decoder->forward(answers, answer_mask, states, mask);
  }

 protected:
  MplugAnswerer(const MplugConfig& config, MplugTask task) : MplugCaptioner(config, task) {}
};

/// Compares pictures and texts.
template <class Base>
class MplugPairs : public Base, public DualEncoder, public AttentionExplainable {
 public:
  Tensor match(const Tensor& pixels, const Tensor& ids, const Tensor& mask) override;
  Tensor match_pictures(const Tensor& pixels) override { return this->encode_image(pixels); }
  Tensor match_texts(const Tensor& ids, const Tensor& mask) override { return this->networks.encode_text(ids, mask); }
  /// States of several pictures' tokens are a video's.
  Tensor embed_matched(const Tensor& pictures) override;
  Tensor match_logits(const Tensor& pictures, const Tensor& texts, const Tensor& mask) override { return this->pair_logits(pictures, texts, mask); }
  std::vector<int64_t> looking_layers() const override { return this->networks.fusion_encoder->looking_layers(); }
  Tensor traced_match_logits(const Tensor& pictures, const Tensor& texts, const Tensor& mask, AttentionTrace& trace) override {
    return this->pair_logits(pictures, texts, mask, &trace);
  }
  std::string caption_rules() const override { return "mplug"; }
  Tensor embed_images(const Tensor& pixels) override;
  /// Ids that equal the padding are not looked at.
  Tensor embed_texts(const Tensor& ids) override;
  Tensor logit_scale() const override { return this->temp.reciprocal(); }
  Tensor logit_bias() const override { return {}; }
  std::pair<int64_t, int64_t> image_size() const override { return this->picture_size(); }
  /// What the original implementation cuts texts to.
  int64_t context_length() const override { return std::min<int64_t>(30, this->architecture().positions); }

 protected:
  MplugPairs(const MplugConfig& config, MplugTask task) : Base(config, task) {}
};

class MplugRetriever : public MplugPairs<MplugModel> {
 public:
  explicit MplugRetriever(const MplugConfig& config) : MplugPairs<MplugModel>(config, MplugTask::retrieval) {}
};

/// All parts at once, and a masked language model's head on the fused text. What is pretrained can do everything.
class MplugPretrainer : public MplugPairs<MplugAnswerer> {
 public:
  explicit MplugPretrainer(const MplugConfig& config) : MplugPairs<MplugAnswerer>(config, MplugTask::pretrain) {}
};

/// The model for a configuration. Where that does not say the task, the names of `weights` do; without slow copies where weights are
/// given that hold none.
std::unique_ptr<MplugModel> make_mplug(MplugConfig config, const TensorMap& weights);

/// Weights of a checkpoint as `model` takes them (specs: mplug, 1.7): names of any of the releases, what the model has no use for left
/// out, position tables resized to its pictures; or those of a CLIP or a BERT, with which pre-training begins. What is foreign to mPLUG stays, for the loader to report.
TensorMap mplug_weights_for(const MplugModel& model, const TensorMap& weights);

}  // namespace vlm
