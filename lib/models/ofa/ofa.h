#pragma once
/// OFA (Wang et al., arXiv 2202.03052): one encoder-decoder whose tasks are instructions. A ResNet's features and the text go
/// through one encoder; a decoder writes text, boxes or picture codes. Specs: ofa.
///
/// Members are named as in HF's layout; models/names/ofa_names.h has fairseq's. The tied word embeddings are stored once, as
/// encoder.embed_tokens.weight.

#include <memory>

#include "vlm/io/tensor_map.h"
#include "vlm/models/generator.h"
#include "vlm/models/layers/basic.h"
#include "vlm/models/layers/recompute.h"
#include "vlm/models/ofa/config.h"
#include "vlm/models/ofa/tied.h"

namespace vlm {

class OfaEncoder;
class OfaDecoder;

/// States of the encoder.
struct OfaEncoded : EncodedInstruction {
  Tensor states;       ///< [B, N, D]: pictures' patches first, then text
  Tensor padding;      ///< [B, N], bool, true where nothing stands; undefined: everywhere something does
  Tensor positions;    ///< [B, N, D]: normalised position embeddings, which cross attention looks at as well
  Tensor layer_input;  ///< [B, N, D]: what went into the first layer (for those who compare)
  Tensor code_mask;    ///< as the instruction's
  int64_t rows() const override { return states.size(0); }
};

/// When MuE leaves a stack early (arXiv 2211.11152; specs: ofa, 8.3): as soon as a layer's output resembles its input more than
/// this, as a cosine. 2 never does.
struct OfaExitThresholds {
  double image = 2, text = 2, decoder = 2;
  int64_t longest = 0;  ///< of a search: max_len; early tokens then go through all layers, and the decoder's threshold falls. 0: it stays

  /// The decoder's threshold for the token at place `step`.
  double at_step(int64_t step) const;
};

class OfaModel : public torch::nn::Module, public Model, public PictureModel, public Instructed {
 public:
  explicit OfaModel(const OfaConfig& config);

  std::string family() const override { return "ofa"; }
  std::vector<NamedTensor> state() const override { return module_state(*this); }
  std::vector<NamedTensor> trainable() const override;
  void set_training(bool on) override { torch::nn::Module::train(on); }
  nlohmann::ordered_json config() const override;
  bool set_recompute(bool on) override { return set_recompute_in(*this, on); }
  std::pair<int64_t, int64_t> picture_size() const override;
  bool picture_size_known() const override { return config_.patch_image_size > 0; }
  int64_t picture_step() const override { return 16; }

  GenerationTokens generation_tokens() const override;
  InstructionVocabulary instruction_vocabulary() const override;
  std::shared_ptr<const EncodedInstruction> encode_instruction(const Instruction& instruction) override { return encode(instruction); }
  std::unique_ptr<DecoderState> begin_reply(std::shared_ptr<const EncodedInstruction> encoded) override;
  Tensor reply_logits(const EncodedInstruction& encoded, const Tensor& previous) override;

  std::shared_ptr<OfaEncoded> encode(const Instruction& instruction) const;
  /// Of every decoder layer, as MuE is trained: logits [B, T, V] of each layer's own output.
  std::vector<Tensor> layer_logits(const EncodedInstruction& encoded, const Tensor& previous) const;

  /// MuE's early exit, for models with `mue`; the layers that ran last time are in exit_layers: picture, text, decoder.
  void set_exit_thresholds(const OfaExitThresholds& thresholds) { thresholds_ = thresholds; }
  const std::vector<int64_t>& exit_layers() const { return exit_layers_; }

  const OfaConfig& architecture() const { return config_; }

  std::shared_ptr<OfaEncoder> encoder;
  std::shared_ptr<OfaDecoder> decoder;

 private:
  const Tensor& embeddings() const;

  OfaConfig config_;
  OfaExitThresholds thresholds_;
  mutable std::vector<int64_t> exit_layers_ = {0, 0, 0};
};

}  // namespace vlm
