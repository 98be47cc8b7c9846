#pragma once
/// mPLUG's fusion encoder (Li et al., arXiv 2205.12005, section 3.2; specs: mplug, 1.4): layers in which the text looks at the picture
/// while the picture stays as it is (asymmetric co-attention), and, every stride-th, one in which both attend to each other as one
/// sequence. There the text is replaced, while what comes out for the picture is added to what it was: the skip connection.

#include <memory>
#include <vector>

#include "vlm/models/layers/bert_lm.h"
#include "vlm/models/mplug/config.h"

namespace vlm {

struct MplugFused {
  Tensor image;  ///< [B, P, H]
  Tensor text;   ///< [B, L, H], also at places of padding

  /// What the decoder looks at, pictures first: [B, P + L, H].
  Tensor states() const;
};

/// Layers first_fusion_layer … hidden_layers - 1, under these numbers.
class MplugFusionEncoder : public torch::nn::Module, public RecomputedBlocks {
 public:
  /// with_words: holds the table that the masked language model's head is tied to.
  explicit MplugFusionEncoder(const MplugConfig& config, bool with_words = false);
  /// text: [B, L, H], text_mask: [B, L]; image: [B, P, H], image_mask: [B, P]. 0 in a mask hides; undefined: nothing is hidden.
  /// trace: of a layer of looking_layers().
  MplugFused forward(Tensor text, const Tensor& text_mask, Tensor image, const Tensor& image_mask = {}, AttentionTrace* trace = nullptr) const;
  /// Whether the i-th layer that runs, from 0, is a connected one.
  bool connected(int64_t i) const { return i > 0 && i % stride_ == 0; }
  /// The numbers of the layers whose text looks at the picture, rising: all but the connected ones.
  std::vector<int64_t> looking_layers() const;
  /// [V, H]
  const Tensor& words() const { return words_; }

 private:
  int64_t first_, stride_;
  double self_mask_, cross_mask_;
  Tensor words_;
  std::shared_ptr<LayerList<BertLayer>> layers_;
};

/// The pretraining model's wrapper: names begin with "bert." and "cls.".
class MplugFusionLm : public torch::nn::Module {
 public:
  explicit MplugFusionLm(const MplugConfig& config);
  /// text: [B, L, H], of the fusion. Returns logits [B, L, V].
  Tensor logits(const Tensor& text) const { return cls->forward(text, bert->words()); }

  std::shared_ptr<MplugFusionEncoder> bert;
  std::shared_ptr<BertLmHead> cls;
};

}  // namespace vlm
