#pragma once
/// ALBEF (Li et al., arXiv 2107.07651), TCL (arXiv 2202.10401) and CODIS (arXiv 2203.00048): an image transformer, a BERT whose lower
/// half reads text alone and whose upper half looks at the picture, and momentum copies that teach them. The three differ in their
/// losses (train/alignment_step.h); this is what they have in common, under the names of the released checkpoints. Specs:
/// alignment, 1 and 3.

#include <algorithm>
#include <memory>
#include <tuple>

#include "vlm/models/albef/config.h"
#include "vlm/models/layers/bert_lm.h"
#include "vlm/models/answer_ranker.h"
#include "vlm/models/attention_explainable.h"
#include "vlm/models/layers/momentum_copy.h"
#include "vlm/models/pair_classifier.h"
#include "vlm/models/trainable.h"

namespace vlm {

/// The networks that embed pictures and texts; of a model there are two sets, one that learns and its momentum copies.
struct AlbefEncoders {
  std::shared_ptr<TimmVision> visual_encoder;
  std::shared_ptr<BertModel> text_encoder;
  std::shared_ptr<BertLanguageModel> language_model;  ///< what text_encoder is a part of, where there is a vocabulary head
  std::shared_ptr<Linear> vision_proj, text_proj;     ///< absent where nothing is compared

  /// Unit vectors [B, d] of the first tokens of states [B, N, D]; or of all tokens of theirs, [B, n, d].
  Tensor project_image(const Tensor& tokens) const { return normalize(vision_proj->forward(tokens.select(1, 0))); }
  Tensor project_text(const Tensor& states) const { return normalize(text_proj->forward(states.select(1, 0))); }
  Tensor project_patches(const Tensor& tokens) const { return normalize(vision_proj->forward(tokens.slice(1, 1))); }
  Tensor project_words(const Tensor& states) const { return normalize(text_proj->forward(states.slice(1, 1))); }
};

/// What all models of the family have in common.
class AlbefModel : public torch::nn::Module, public Model, public PictureModel, public MomentumTaught {
 public:
  std::string family() const override { return "albef"; }
  /// A tensor that has two names in files is here under the first.
  std::vector<NamedTensor> state() const override { return without_second_names(module_state(*this)); }
  std::vector<NamedTensor> trainable() const override;
  void set_training(bool on) override { torch::nn::Module::train(on); }
  nlohmann::ordered_json config() const override;
  bool set_recompute(bool on) override { return set_recompute_in(*this, on); }
  std::pair<int64_t, int64_t> picture_size() const override { return {config_.vision.image_height, config_.vision.image_width}; }
  std::vector<MomentumTensors> momentum_tensors() const override;

  const AlbefConfig& architecture() const { return config_; }
  const AlbefEncoders& online() const { return online_; }
  /// Throws if the model has no momentum copies.
  const AlbefEncoders& momentum() const;
  bool has_momentum() const { return momentum_.visual_encoder != nullptr; }

  /// pixels: [B, 3, S, S]. Returns all tokens, [B, 1 + N, W].
  Tensor encode_image(const Tensor& pixels) const { return online_.visual_encoder->forward(pixels); }
  /// Whether ids are no padding: [B, L].
  Tensor mask_of(const Tensor& ids) const { return ids.ne(config_.pad); }

 protected:
  AlbefModel(const AlbefConfig& config, AlbefTask task);
  /// Registers NAME, and its momentum copy as NAME_m.
  template <class Part, class... Args>
  std::pair<std::shared_ptr<Part>, std::shared_ptr<Part>> add(const std::string& name, const Args&... args) {
    auto online = register_module(name, std::make_shared<Part>(args...));
    std::shared_ptr<Part> copy;
    if (config_.momentum) {
      copy = register_module(name + "_m", make_momentum_copy(*online, args...));
      copies_.emplace_back(online.get(), copy.get());
    }
    return {std::move(online), std::move(copy)};
  }
  /// text_encoder, and, if wanted, what it is compared by.
  void add_text_encoder();
  void add_projections();

  AlbefConfig config_;
  AlbefEncoders online_, momentum_;

 private:
  std::vector<std::pair<torch::nn::Module*, torch::nn::Module*>> copies_;
};

/// Compares and matches: the pre-training model (its text encoder has a vocabulary head), and the one for retrieval.
class AlbefAligner : public AlbefModel, public DualEncoder, public AttentionExplainable {
 public:
  explicit AlbefAligner(const AlbefConfig& config);

  Tensor encode_text(const Tensor& ids, const Tensor& mask) const { return online_.text_encoder->encode_text(ids, mask); }
  /// Logits of "no match" and "match" for pairs: [B, 2]. text: [B, L, D], of encode_text(); image: [B, N, W], of encode_image().
  Tensor pair_logits(const Tensor& image, const Tensor& text, const Tensor& mask, AttentionTrace* trace = nullptr) const;
  /// The same of pictures as the fusion layers look at them (text_encoder->project() of the online networks).
  Tensor pair_logits(const BertContext& pictures, const Tensor& text, const Tensor& mask, AttentionTrace* trace = nullptr) const;

  Tensor match(const Tensor& pixels, const Tensor& ids, const Tensor& mask) override;
  Tensor match_pictures(const Tensor& pixels) override { return encode_image(pixels); }
  Tensor match_texts(const Tensor& ids, const Tensor& mask) override { return encode_text(ids, mask); }
  Tensor embed_matched(const Tensor& pictures) override { return online_.project_image(pictures); }
  Tensor match_logits(const Tensor& pictures, const Tensor& texts, const Tensor& mask) override {
    return pair_logits(pictures, texts, mask);
  }
  std::vector<int64_t> looking_layers() const override;
  Tensor traced_match_logits(const Tensor& pictures, const Tensor& texts, const Tensor& mask, AttentionTrace& trace) override {
    return pair_logits(pictures, texts, mask, &trace);
  }
  std::string caption_rules() const override { return "albef"; }
  Tensor embed_images(const Tensor& pixels) override { return online_.project_image(encode_image(pixels)); }
  /// Ids that equal the padding are not looked at.
  Tensor embed_texts(const Tensor& ids) override { return online_.project_text(encode_text(ids, mask_of(ids))); }
  Tensor logit_scale() const override;
  Tensor logit_bias() const override { return {}; }
  std::pair<int64_t, int64_t> image_size() const override { return picture_size(); }
  /// What retrieval cuts texts to.
  int64_t context_length() const override { return std::min<int64_t>(30, config_.text.positions); }
  /// Keeps the temperature from 0.001 to 0.5, in place and without a gradient.
  void clamp_temperature();

  std::shared_ptr<Linear> itm_head;
  std::shared_ptr<Linear> vision_proj_ind, text_proj_ind;    ///< what one modality alone knows; absent without independent_features
  Tensor temp;                                               ///< [], what similarities are divided by
  Tensor image_queue, text_queue, idx_queue, queue_ptr;      ///< [d, Q], [d, Q], [1, Q], [1]; undefined where there are none
  Tensor codebook;                                           ///< [K, d], of CODIS; undefined otherwise
};

/// Answers questions about pictures: the encoder reads picture and question, a decoder of its own writes.
class AlbefAnswerer : public AlbefModel, public Answerer, public AnswerTrainable, public AnswerRanker {
 public:
  explicit AlbefAnswerer(const AlbefConfig& config);
  /// States of the question, looking at the picture: [B, L, D].
  Tensor encode_question(const AlbefEncoders& encoders, const Tensor& pixels, const Tensor& question, const Tensor& mask) const;
  std::unique_ptr<DecoderState> begin_answer(const Tensor& pixels, const Tensor& question, const Tensor& mask) override;
  GenerationTokens generation_tokens() const override;
  /// The answer's text carries an end, and the tokenizer adds another one.
  AnswerWording answer_wording() const override { return {.questions = "albef", .ends = 2, .label_smoothing = 0}; }
  std::pair<Tensor, Tensor> read_question(const Tensor& pixels, const Tensor& question, const Tensor& mask) const override {
    return {encode_question(online_, pixels, question, mask), mask};
  }
  Tensor decode_answers(const Tensor& answers, const Tensor& answer_mask, const Tensor& states, const Tensor& mask) const override {
    return text_decoder->forward(answers, answer_mask, states, mask);
  }
  /// Answers do not look at the padding of questions, whatever the batch says.
  Tensor answer_logits(const AnswerBatch& batch) override;
  bool has_teacher() const override { return has_momentum(); }
  Tensor momentum_answer_logits(const AnswerBatch& batch) const override;

  std::shared_ptr<BertLanguageModel> text_decoder, text_decoder_m;

 private:
  Tensor logits_of(const AlbefEncoders& encoders, const BertLanguageModel& decoder, const AnswerBatch& batch) const;
};

/// Linear, ReLU, Linear under the names "0" and "2".
class AlbefClassifierHead : public torch::nn::Module {
 public:
  AlbefClassifierHead(int64_t width, int64_t classes);
  /// x: [B, D]. Returns [B, classes].
  Tensor forward(const Tensor& x) const;

 private:
  std::shared_ptr<Linear> hidden_, out_;
};

/// Says what a sentence has to do with one picture (SNLI-VE: contradiction, neutral, entailment), or with two (NLVR2: false, true).
class AlbefClassifier : public AlbefModel, public PairClassifier {
 public:
  explicit AlbefClassifier(const AlbefConfig& config);
  int64_t pictures() const override { return config_.task == AlbefTask::nlvr ? 2 : 1; }
  int64_t classes() const override { return config_.task == AlbefTask::nlvr ? 2 : 3; }
  Tensor logits(const Tensor& pixels, const Tensor& ids, const Tensor& mask) const override;
  bool has_teacher() const override { return has_momentum(); }
  Tensor momentum_logits(const Tensor& pixels, const Tensor& ids, const Tensor& mask) const override;
  std::string sentence_rules() const override { return "albef"; }
  int64_t longest_sentence() const override { return config_.text.positions; }

  std::shared_ptr<AlbefClassifierHead> cls_head, cls_head_m;

 private:
  Tensor logits_of(const AlbefEncoders& encoders, const AlbefClassifierHead& head, const Tensor& pixels, const Tensor& ids,
                   const Tensor& mask) const;
};

/// Which of two pictures, or neither, a sentence belongs to: what the model for NLVR2 is pre-trained by. It has no momentum copies.
class AlbefTextAssigner : public AlbefModel {
 public:
  explicit AlbefTextAssigner(const AlbefConfig& config);
  /// Without the projections, by which negatives are drawn, and the temperature.
  std::vector<NamedTensor> trainable() const override;
  /// image: [B, N, W], of encode_image(); first, second: [B], int64, which pictures go with sentence b. Returns [B, 3].
  Tensor logits(const Tensor& image, const Tensor& first, const Tensor& second, const Tensor& ids, const Tensor& mask) const;

  std::shared_ptr<Linear> ta_head;
  Tensor temp;  ///< part of the checkpoints; nothing uses it
};

/// The model of config.task.
std::unique_ptr<AlbefModel> make_albef(const AlbefConfig& config);

}  // namespace vlm
