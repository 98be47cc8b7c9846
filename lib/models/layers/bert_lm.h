#pragma once
/// BERT with a vocabulary head: a causal decoder that looks at an encoder's states (BLIP, ALBEF, mPLUG), or a masked language model.
/// Names begin with "bert." and "cls.predictions.". The output weight is the table of words; files hold it a second time as
/// cls.predictions.decoder (names/bert_names.h).

#include <memory>

#include "vlm/models/generator.h"
#include "vlm/models/layers/bert.h"

namespace vlm {

class BertLanguageModel : public torch::nn::Module {
 public:
  explicit BertLanguageModel(const BertOptions& options);
  /// Position t sees positions up to t. ids, mask: [B, L]; encoder: [B, Le, De]; encoder_mask: [B, Le], 0 for states that are not
  /// looked at (undefined: all are). Returns logits [B, L, V].
  Tensor forward(const Tensor& ids, const Tensor& mask, const Tensor& encoder, const Tensor& encoder_mask = {}) const;
  /// The head alone. states: [..., D]. Returns logits [..., V].
  Tensor logits(const Tensor& states) const { return cls->forward(states, bert->word_embeddings()); }
  /// B rows that have seen no token. The state belongs to this decoder.
  std::unique_ptr<DecoderState> begin(const Tensor& encoder, const Tensor& encoder_mask = {}) const;

  std::shared_ptr<BertModel> bert;
  std::shared_ptr<BertLmHead> cls;
};

}  // namespace vlm
