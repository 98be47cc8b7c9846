#include "vlm/models/layers/bert_lm.h"

namespace vlm {

BertLanguageModel::BertLanguageModel(const BertOptions& options) {
  bert = register_module("bert", std::make_shared<BertModel>(options));
  cls = register_module("cls", std::make_shared<BertLmHead>(options));
}

Tensor BertLanguageModel::forward(const Tensor& ids, const Tensor& mask, const Tensor& encoder, const Tensor& encoder_mask) const {
  const BertOptions& options = bert->options();
  const Tensor causal = additive_causal_mask(ids.size(1), mask, options.self_mask).to(ids.device());
  const Tensor visible = encoder_mask.defined() ? additive_key_mask(encoder_mask, options.cross_mask).to(ids.device()) : Tensor();
  return logits(bert->forward(ids, causal, encoder, visible));
}

namespace bert_lm {

class State : public DecoderState {
 public:
  State(const BertLanguageModel& decoder, const Tensor& encoder, const Tensor& encoder_mask)
      : decoder_(decoder), cache_(decoder.bert->begin(encoder, encoder_mask)) {}

  Tensor step(const Tensor& ids, const Tensor& mask) override {
    return decoder_.logits(decoder_.bert->step(ids, mask, cache_).select(1, -1));  // [R, V]
  }
  void select(const Tensor& rows) override { cache_.select(rows); }

 private:
  const BertLanguageModel& decoder_;
  BertCache cache_;
};

}  // namespace bert_lm

std::unique_ptr<DecoderState> BertLanguageModel::begin(const Tensor& encoder, const Tensor& encoder_mask) const {
  return std::make_unique<bert_lm::State>(*this, encoder, encoder_mask);
}

}  // namespace vlm
