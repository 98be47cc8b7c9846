#include "vlm/models/mplug/fusion.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/ones.h>

#include "vlm/core/error.h"

namespace vlm {

Tensor MplugFused::states() const { return at::cat({image, text}, 1); }

namespace mplug_fusion {

class Layers : public torch::nn::Module {
 public:
  explicit Layers(const MplugConfig& config) {
    const BertOptions options = config.bert(config.hidden_layers, true);
    layer = register_module("layer", std::make_shared<LayerList<BertLayer>>(config.first_fusion_layer()));
    for (int64_t i = config.first_fusion_layer(); i < config.hidden_layers; ++i) layer->add(std::make_shared<BertLayer>(options, true));
  }
  std::shared_ptr<LayerList<BertLayer>> layer;
};

class Words : public torch::nn::Module {
 public:
  explicit Words(const MplugConfig& config) {
    word_embeddings = register_module("word_embeddings", std::make_shared<Embedding>(config.vocab_size, config.hidden_size));
  }
  std::shared_ptr<Embedding> word_embeddings;
};

Tensor mask_of(const Tensor& mask, const Tensor& states) {
  return mask.defined() ? mask : at::ones({states.size(0), states.size(1)}, states.options().dtype(at::kLong));
}

}  // namespace mplug_fusion

MplugFusionEncoder::MplugFusionEncoder(const MplugConfig& config, bool with_words) : first_(config.first_fusion_layer()), stride_(config.stride_layer) {
  const BertOptions options = config.bert(config.hidden_layers, true);
  self_mask_ = options.self_mask;
  cross_mask_ = options.cross_mask;
  if (with_words) {
    const auto embeddings = register_module("embeddings", std::make_shared<mplug_fusion::Words>(config));
    words_ = embeddings->word_embeddings->weight;
  }
  layers_ = register_module("encoder", std::make_shared<mplug_fusion::Layers>(config))->layer;
  init_transformer(*this, config.initializer_range);
}

std::vector<int64_t> MplugFusionEncoder::looking_layers() const {
  std::vector<int64_t> out;
  for (int64_t i = 0; i < static_cast<int64_t>(layers_->layers().size()); ++i) {
    if (!connected(i)) out.push_back(first_ + i);
  }
  return out;
}

MplugFused MplugFusionEncoder::forward(Tensor text, const Tensor& text_mask, Tensor image, const Tensor& image_mask, AttentionTrace* trace) const {
  if (text.size(0) != image.size(0)) fail("fusion needs as many texts (", text.size(0), ") as pictures (", image.size(0), ")");
  const int64_t patches = image.size(1), length = text.size(1);
  const Tensor text_hidden = additive_key_mask(text_mask, self_mask_), image_hidden = additive_key_mask(image_mask, cross_mask_);
  Tensor both_hidden;
  if (text_mask.defined() || image_mask.defined()) {
    using mplug_fusion::mask_of;
    both_hidden = additive_key_mask(at::cat({mask_of(image_mask, image), mask_of(text_mask, text)}, 1), self_mask_);
  }
  for (size_t i = 0; i < layers_->layers().size(); ++i) {
    const auto& layer = layers_->layers()[i];
    if (!connected(static_cast<int64_t>(i))) {
      Tensor* probabilities = trace && trace->layer == first_ + static_cast<int64_t>(i) ? &trace->probabilities : nullptr;
      const auto look = [layer, probabilities](const std::vector<Tensor>& in) { return layer->forward(in[0], in[1], in[2], in[3], probabilities); };
      const std::vector<Tensor> inputs = {text, text_hidden, image, image_hidden};
      text = probabilities ? look(inputs) : run_block(*layer, look, inputs);
    } else {
      const Tensor both = run_block(*layer, [layer](const std::vector<Tensor>& in) { return layer->forward(in[0], in[1], {}, {}); },
                                    {at::cat({image, text}, 1), both_hidden});                      // [B, P + L, H]
      image = image + both.slice(1, 0, patches);
      text = both.slice(1, patches, patches + length);
    }
  }
  return {image, text};
}

MplugFusionLm::MplugFusionLm(const MplugConfig& config) {
  bert = register_module("bert", std::make_shared<MplugFusionEncoder>(config, true));
  cls = register_module("cls", std::make_shared<BertLmHead>(config.bert(config.hidden_layers, true)));
}

}  // namespace vlm
