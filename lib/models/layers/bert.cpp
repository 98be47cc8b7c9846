#include "vlm/models/layers/bert.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <limits>

#include "vlm/core/error.h"
#include "vlm/models/layers/attention.h"
#include "vlm/models/layers/packed_linear.h"

namespace vlm {

void BertCache::select(const Tensor& rows) {
  for (auto& cache : self) cache.select(rows);
  if (key_mask.defined()) key_mask = key_mask.index_select(0, rows);
}

BertSelfAttention::BertSelfAttention(int64_t width, int64_t key_width) {
  query = register_module("query", std::make_shared<Linear>(width, width));
  key = register_module("key", std::make_shared<Linear>(key_width, width));
  value = register_module("value", std::make_shared<Linear>(key_width, width));
}

BertOutput::BertOutput(int64_t in, int64_t width, double eps) {
  dense = register_module("dense", std::make_shared<Linear>(in, width));
  LayerNorm = register_module("LayerNorm", std::make_shared<vlm::LayerNorm>(width, eps));
}

BertAttention::BertAttention(int64_t width, int64_t key_width, int64_t heads, double eps) : heads_(heads) {
  if (heads <= 0 || width % heads != 0) fail("attention of width ", width, " cannot be split over ", heads, " heads");
  self = register_module("self", std::make_shared<BertSelfAttention>(width, key_width));
  output = register_module("output", std::make_shared<BertOutput>(width, width, eps));
}

Tensor BertAttention::forward(const Tensor& x, const Tensor& context, const Tensor& mask) const {
  return output->forward(attend(self->query->forward(x), self->key->forward(context), self->value->forward(context), heads_, mask), x);
}

std::pair<Tensor, Tensor> BertAttention::keys_of(const Tensor& context) const {
  return {split_heads(self->key->forward(context), heads_).contiguous(), split_heads(self->value->forward(context), heads_).contiguous()};
}

Tensor BertAttention::forward_keys(const Tensor& x, const Tensor& keys, const Tensor& values, const Tensor& mask) const {
  return output->forward(attend_cached(self->query->forward(x), keys, values, heads_, mask), x);
}

namespace bert {

class Intermediate : public torch::nn::Module {
 public:
  Intermediate(int64_t width, int64_t hidden) { dense = register_module("dense", std::make_shared<Linear>(width, hidden)); }
  std::shared_ptr<Linear> dense;
};

class Encoder : public torch::nn::Module {
 public:
  explicit Encoder(const BertOptions& options) {
    layer = register_module("layer", std::make_shared<LayerList<BertLayer>>());
    for (int64_t i = 0; i < options.layers; ++i) layer->add(std::make_shared<BertLayer>(options));
  }
  std::shared_ptr<LayerList<BertLayer>> layer;
};

}  // namespace bert

BertLayer::BertLayer(const BertOptions& options) : activation_(options.activation) {
  attention = register_module("attention", std::make_shared<BertAttention>(options.width, options.width, options.heads, options.eps));
  if (options.cross_attention) {
    crossattention = register_module("crossattention", std::make_shared<BertAttention>(options.width, options.encoder_width, options.heads, options.eps));
  }
  const auto up = std::make_shared<bert::Intermediate>(options.width, options.intermediate);
  intermediate = register_module("intermediate", up);
  up_ = up->dense;
  output = register_module("output", std::make_shared<BertOutput>(options.intermediate, options.width, options.eps));
}

Tensor BertLayer::mlp(const Tensor& x) const { return output->forward(activate(up_->forward(x), activation_), x); }

Tensor BertLayer::forward(Tensor x, const Tensor& mask, const Tensor& encoder, const Tensor& encoder_mask) const {
  x = attention->forward(x, x, mask);
  if (encoder.defined()) {
    if (!crossattention) fail("this text model has no cross attention, so it cannot look at a picture");
    x = crossattention->forward(x, encoder, encoder_mask);
  }
  return mlp(x);  // [B, L, D]
}

Tensor BertLayer::forward_cached(Tensor x, KeyValueCache& cache, const Tensor& mask, const std::pair<Tensor, Tensor>& cross) const {
  const auto [keys, values] = attention->keys_of(x);
  cache.append(keys, values);
  x = attention->forward_keys(x, cache.keys(), cache.values(), mask);
  if (cross.first.defined()) x = crossattention->forward_keys(x, cross.first, cross.second);
  return mlp(x);  // [R, n, D]
}

class BertModel::Embeddings : public torch::nn::Module {
 public:
  explicit Embeddings(const BertOptions& options) {
    word_embeddings = register_module("word_embeddings", std::make_shared<Embedding>(options.vocab_size, options.width));
    position_embeddings = register_module("position_embeddings", std::make_shared<Embedding>(options.positions, options.width));
    LayerNorm = register_module("LayerNorm", std::make_shared<vlm::LayerNorm>(options.width, options.eps));
  }
  std::shared_ptr<Embedding> word_embeddings, position_embeddings;
  std::shared_ptr<vlm::LayerNorm> LayerNorm;
};

BertModel::BertModel(const BertOptions& options) {
  embeddings_ = register_module("embeddings", std::make_shared<Embeddings>(options));
  const auto encoder = register_module("encoder", std::make_shared<bert::Encoder>(options));
  layers = encoder->layer;
  init_transformer(*this);
}

const Tensor& BertModel::word_embeddings() const { return embeddings_->word_embeddings->weight; }
int64_t BertModel::positions() const { return embeddings_->position_embeddings->weight.size(0); }

Tensor BertModel::embed(const Tensor& ids, int64_t past) const {
  const int64_t length = ids.size(1);
  if (past + length > positions()) fail("the text is longer than the ", positions(), " ids that the model can hold");
  return embeddings_->LayerNorm->forward(embeddings_->word_embeddings->forward(ids) +
                                         embeddings_->position_embeddings->weight.slice(0, past, past + length));
}

Tensor BertModel::forward(const Tensor& ids, const Tensor& mask, const Tensor& encoder, const Tensor& encoder_mask) const {
  Tensor x = embed(ids, 0);
  for (const auto& layer : layers->layers()) {
    x = run_block(*layer, [layer](const std::vector<Tensor>& in) { return layer->forward(in[0], in[1], in[2], in[3]); },
                  {x, mask, encoder, encoder_mask});
  }
  return x;
}

BertCache BertModel::begin(const Tensor& encoder) const {
  BertCache cache;
  cache.self.resize(layers->layers().size());
  for (const auto& layer : layers->layers()) {
    if (!layer->crossattention) fail("this text model has no cross attention, so it cannot look at a picture");
    cache.cross.push_back(layer->crossattention->keys_of(encoder));
  }
  return cache;
}

Tensor BertModel::step(const Tensor& ids, const Tensor& mask, BertCache& cache) const {
  const int64_t n = ids.size(1), past = cache.length;
  if (mask.defined() || cache.key_mask.defined()) {
    const Tensor before = cache.key_mask.defined() ? cache.key_mask : at::ones({ids.size(0), past}, at::kLong);
    cache.key_mask = at::cat({before, mask.defined() ? mask : at::ones({ids.size(0), n}, at::kLong)}, 1);
  }
  Tensor x = embed(ids, past);
  const Tensor hidden = decoding_mask(n, past, cache.key_mask);
  for (size_t i = 0; i < cache.self.size(); ++i) x = layers->layers()[i]->forward_cached(x, cache.self[i], hidden, cache.cross[i]);
  cache.length += n;
  return x;  // [R, n, D]
}

class BertLmHead::Transform : public torch::nn::Module {
 public:
  explicit Transform(const BertOptions& options) {
    dense = register_module("dense", std::make_shared<Linear>(options.width, options.width));
    LayerNorm = register_module("LayerNorm", std::make_shared<vlm::LayerNorm>(options.width, options.eps));
  }
  std::shared_ptr<Linear> dense;
  std::shared_ptr<vlm::LayerNorm> LayerNorm;
};

class BertLmHead::Predictions : public torch::nn::Module {
 public:
  explicit Predictions(const BertOptions& options) {
    bias = register_parameter("bias", at::zeros({options.vocab_size}));
    transform = register_module("transform", std::make_shared<Transform>(options));
  }
  Tensor bias;  ///< [V]
  std::shared_ptr<Transform> transform;
};

BertLmHead::BertLmHead(const BertOptions& options) : activation_(options.activation) {
  predictions_ = register_module("predictions", std::make_shared<Predictions>(options));
  init_transformer(*this);
}

Tensor BertLmHead::forward(const Tensor& x, const Tensor& word_embeddings) const {
  const auto& transform = *predictions_->transform;
  const Tensor y = transform.LayerNorm->forward(activate(transform.dense->forward(x), activation_));
  return inference_linear(y, word_embeddings, predictions_->bias);
}

Tensor additive_key_mask(const Tensor& mask) {
  if (!mask.defined()) return {};
  const Tensor seen = mask.ne(0).view({mask.size(0), 1, 1, mask.size(1)});
  return at::zeros(seen.sizes(), seen.options().dtype(at::kFloat)).masked_fill_(seen.logical_not(), std::numeric_limits<float>::lowest());
}

Tensor additive_causal_mask(int64_t length, const Tensor& mask) {
  const auto flags = mask.defined() ? mask.options().dtype(at::kBool) : at::TensorOptions().dtype(at::kBool);
  Tensor seen = at::ones({1, 1, length, length}, flags).tril();
  if (mask.defined()) seen = seen.logical_and(mask.ne(0).view({mask.size(0), 1, 1, mask.size(1)}));
  return at::zeros(seen.sizes(), seen.options().dtype(at::kFloat)).masked_fill_(seen.logical_not(), std::numeric_limits<float>::lowest());
}

}  // namespace vlm
