#include "vlm/models/coca/coca.h"

#include <ATen/ops/full.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "vlm/core/error.h"
#include "vlm/models/clip/clip.h"

namespace vlm {

CocaModel::CocaModel(const ClipConfig& config) : config_(config) {
  if (!config.has_multimodal) fail_usage("a CoCa model needs multimodal_cfg");
  if (config.independent_features) fail_usage("independent_features goes with the families clip and albef, not with coca");
  if (config.vision_cfg.attentional_pool != "true" || !config.text_cfg.embed_cls) {
    fail_usage("a CoCa model needs vision_cfg.attentional_pool: true and text_cfg.embed_cls: true");
  }
  if (config.multimodal_cfg.width != config.embed_dim || config.multimodal_cfg.width != config.text_cfg.width) {
    fail_usage("CoCa's decoder reads the picture and the text as they are: multimodal_cfg.width (", config.multimodal_cfg.width,
               ") must equal embed_dim (", config.embed_dim, ") and text_cfg.width (", config.text_cfg.width, ")");
  }
  const std::vector<int64_t> shape = config.nonscalar_logit_scale ? std::vector<int64_t>{1} : std::vector<int64_t>{};
  visual = register_module("visual", make_vision_tower(config));
  text = register_module("text", std::make_shared<TextTransformer>(config.text_cfg, config.embed_dim));
  text_decoder = register_module("text_decoder", std::make_shared<MultimodalDecoder>(config.multimodal_cfg));
  log_scale_ = register_parameter("logit_scale", at::full(shape, config.init_logit_scale));
  if (!std::isnan(config.init_logit_bias)) bias_ = register_parameter("logit_bias", at::full(shape, config.init_logit_bias));
  torch::nn::Module::train(false);
}

nlohmann::ordered_json CocaModel::config() const { return config_.to_open_clip(); }

void CocaModel::after_step() {
  at::NoGradGuard no_grad;
  log_scale_.clamp_(0, std::log(100.0));
}

CocaOutput CocaModel::forward(const Tensor& pixels, const Tensor& ids, bool labels) const {
  const VisionOutput picture = visual->forward(pixels);
  const TextOutput words = text->forward(ids);
  CocaOutput out;
  out.image_features = normalize(picture.features);
  out.text_features = normalize(words.features);
  out.image_embs = picture.tokens;
  out.token_embs = words.tokens;
  if (labels) out.labels = ids.slice(1, 1);
  out.logits = text_decoder->forward(labels ? words.tokens.slice(1, 0, -1) : words.tokens, picture.tokens);
  return out;
}

Tensor CocaModel::caption_logits(const Tensor& pixels, const Tensor& ids, const Tensor& mask) {
  // Both stacks are causal and padding stands at the end, so no position that counts sees it.
  (void)mask;
  return forward(pixels, ids, /*labels=*/false).logits;
}

CaptionedPairs CocaModel::captioned_pairs(const Tensor& pixels, const Tensor& ids) {
  const CocaOutput out = forward(pixels, ids, /*labels=*/true);
  return {out.image_features, out.text_features, out.logits, out.labels};
}

namespace coca {

/// Text tower and decoder are both causal, so each keeps its own cache; the class token takes no part.
class State : public DecoderState {
 public:
  State(const TextTransformer& text, const MultimodalDecoder& decoder, const Tensor& image)
      : text_(text), decoder_(decoder), text_caches_(text.transformer->resblocks->layers().size()), caches_(decoder.resblocks->layers().size()) {
    for (const auto& block : decoder.cross_attn->layers()) keys_.push_back(block->keys_of(image));
  }

  Tensor step(const Tensor& ids, const Tensor& mask) override {
    if (mask.defined()) fail("CoCa's decoder takes no padding in its prompt");
    const int64_t n = ids.size(1), past = length_;
    if (past + n > text_.positional_embedding.size(0) - 1) fail("the text is longer than the ", text_.positional_embedding.size(0) - 1, " ids that the model can hold");
    Tensor x = text_.token_embedding->forward(ids) + text_.positional_embedding.slice(0, past, past + n);  // [R, n, D]
    const Tensor hidden = decoding_mask(n, past, {});
    for (size_t i = 0; i < text_caches_.size(); ++i) x = text_.transformer->resblocks->layers()[i]->forward_cached(x, text_caches_[i], hidden);
    for (size_t i = 0; i < caches_.size(); ++i) {
      x = decoder_.resblocks->layers()[i]->forward_cached(x, caches_[i], hidden);
      x = decoder_.cross_attn->layers()[i]->forward_keys(x, keys_[i].first, keys_[i].second);
    }
    length_ += n;
    return decoder_.head(x.select(1, -1));                                                                  // [R, V]
  }

  void select(const Tensor& rows) override {
    for (auto* caches : {&text_caches_, &caches_}) {
      for (auto& cache : *caches) cache.select(rows);
    }
  }

 private:
  const TextTransformer& text_;
  const MultimodalDecoder& decoder_;
  std::vector<KeyValueCache> text_caches_, caches_;
  std::vector<std::pair<Tensor, Tensor>> keys_;
  int64_t length_ = 0;
};

}  // namespace coca

std::unique_ptr<DecoderState> CocaModel::begin_caption(const Tensor& pixels) {
  return std::make_unique<coca::State>(*text, *text_decoder, visual->forward(pixels).tokens);
}

GenerationTokens CocaModel::generation_tokens() const {
  // In CLIP's vocabulary the last two ids begin and end a text. One that says where its end is (pool_type eos: those of
  // vlm tokenizer train) has the beginning right before it.
  const TextConfig& text = config_.text_cfg;
  const int64_t end = text.pool_type == "eos" ? text.eos_id : text.vocab_size - 1;
  return {.begin = end - 1, .end = end, .pad = text.pad_id, .max_length = text.context_length};
}

}  // namespace vlm
