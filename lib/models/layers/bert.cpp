#include "vlm/models/layers/bert.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "vlm/core/error.h"
#include "vlm/models/layers/attention.h"
#include "vlm/models/layers/fast_linear.h"

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

void BertSelfAttention::share_keys_of(const BertSelfAttention& other) {
  key = replace_module("key", other.key);
  value = replace_module("value", other.value);
}

BertOutput::BertOutput(int64_t in, const BertOptions& options) : dropout_(options.hidden_dropout) {
  dense = register_module("dense", std::make_shared<Linear>(in, options.width));
  LayerNorm = register_module("LayerNorm", std::make_shared<vlm::LayerNorm>(options.width, options.eps));
}

Tensor BertOutput::forward(const Tensor& x, const Tensor& residual) const {
  Tensor y = dense->forward(x);
  if (is_training() && dropout_ > 0) y = at::dropout(y, dropout_, true);
  return LayerNorm->forward(y + residual);
}

BertAttention::BertAttention(int64_t key_width, const BertOptions& options) : heads_(options.heads), dropout_(options.attention_dropout) {
  const int64_t width = options.width;
  if (heads_ <= 0 || width % heads_ != 0) fail("attention of width ", width, " cannot be split over ", heads_, " heads");
  self = register_module("self", std::make_shared<BertSelfAttention>(width, key_width));
  output = register_module("output", std::make_shared<BertOutput>(width, options));
}

Tensor BertAttention::forward(const Tensor& x, const Tensor& context, const Tensor& mask, Tensor* probabilities) const {
  return forward_projected(x, project(context), mask, probabilities);
}

std::pair<Tensor, Tensor> BertAttention::project(const Tensor& context) const { return {self->key->forward(context), self->value->forward(context)}; }

Tensor BertAttention::forward_projected(const Tensor& x, const std::pair<Tensor, Tensor>& keys, const Tensor& mask, Tensor* probabilities) const {
  const Tensor y = attend(self->query->forward(x), keys.first, keys.second, heads_, mask, {.dropout = is_training() ? dropout_ : 0, .probabilities = probabilities});
  return output->forward(y, x);
}

std::pair<Tensor, Tensor> BertAttention::keys_of(const Tensor& context) const {
  const auto [keys, values] = project(context);
  return {split_heads(keys, heads_).contiguous(), split_heads(values, heads_).contiguous()};
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
    for (int64_t i = 0; i < options.layers; ++i) {
      const bool fuses = options.cross_attention && i >= options.fusion_layer;
      layer->add(std::make_shared<BertLayer>(options, fuses));
      if (fuses && options.shared_cross_keys && (i - options.fusion_layer) % 2 == 1) {
        layer->layers()[i]->crossattention->self->share_keys_of(*layer->layers()[i - 1]->crossattention->self);
      }
    }
  }
  std::shared_ptr<LayerList<BertLayer>> layer;
};

}  // namespace bert

BertLayer::BertLayer(const BertOptions& options, bool cross_attention) : activation_(options.activation) {
  attention = register_module("attention", std::make_shared<BertAttention>(options.width, options));
  if (cross_attention) crossattention = register_module("crossattention", std::make_shared<BertAttention>(options.encoder_width, options));
  const auto up = std::make_shared<bert::Intermediate>(options.width, options.intermediate);
  intermediate = register_module("intermediate", up);
  up_ = up->dense;
  output = register_module("output", std::make_shared<BertOutput>(options.intermediate, options));
}

Tensor BertLayer::feed_forward(const Tensor& x) const { return output->forward(activate(up_->forward(x), activation_), x); }

Tensor BertLayer::forward(Tensor x, const Tensor& mask, const Tensor& encoder, const Tensor& encoder_mask, Tensor* cross_probabilities) const {
  x = attention->forward(x, x, mask);
  if (encoder.defined()) {
    if (!crossattention) fail("this text model has no cross attention, so it cannot look at a picture");
    x = crossattention->forward(x, encoder, encoder_mask, cross_probabilities);
  }
  return feed_forward(x);  // [B, L, D]
}

Tensor BertLayer::forward_projected(Tensor x, const Tensor& mask, const std::pair<Tensor, Tensor>& keys, const Tensor& encoder_mask, Tensor* cross_probabilities) const {
  x = attention->forward(x, x, mask);
  return feed_forward(crossattention->forward_projected(x, keys, encoder_mask, cross_probabilities));  // [B, L, D]
}

Tensor BertLayer::forward_cached(Tensor x, KeyValueCache& cache, const Tensor& mask, const std::pair<Tensor, Tensor>& cross, const Tensor& cross_mask) const {
  const auto [keys, values] = attention->keys_of(x);
  cache.append(keys, values);
  x = attention->forward_keys(x, cache.keys(), cache.values(), mask);
  if (cross.first.defined()) x = crossattention->forward_keys(x, cross.first, cross.second, cross_mask);
  return feed_forward(x);  // [R, n, D]
}

class BertModel::Embeddings : public torch::nn::Module {
 public:
  explicit Embeddings(const BertOptions& options) : dropout_(options.hidden_dropout) {
    word_embeddings = register_module("word_embeddings", std::make_shared<Embedding>(options.vocab_size, options.width, options.padding));
    position_embeddings = register_module("position_embeddings", std::make_shared<Embedding>(options.positions, options.width));
    if (options.token_types > 0) {
      token_type_embeddings = register_module("token_type_embeddings", std::make_shared<Embedding>(options.token_types, options.width));
    }
    LayerNorm = register_module("LayerNorm", std::make_shared<vlm::LayerNorm>(options.width, options.eps));
  }
  Tensor forward(const Tensor& ids, int64_t past) const {
    Tensor x = word_embeddings->forward(ids);
    if (token_type_embeddings) x = x + token_type_embeddings->weight.slice(0, 0, 1);
    x = LayerNorm->forward(x + position_embeddings->weight.slice(0, past, past + ids.size(1)));
    return is_training() && dropout_ > 0 ? at::dropout(x, dropout_, true) : x;  // [B, L, D]
  }
  std::shared_ptr<Embedding> word_embeddings, position_embeddings, token_type_embeddings;
  std::shared_ptr<vlm::LayerNorm> LayerNorm;

 private:
  double dropout_;
};

BertModel::BertModel(const BertOptions& options) : options_(options) {
  if (options.cross_attention && (options.fusion_layer < 0 || options.fusion_layer > options.layers)) {
    fail("fusion_layer (", options.fusion_layer, ") must be one of the ", options.layers, " layers, or their number where none looks at a picture");
  }
  embeddings_ = register_module("embeddings", std::make_shared<Embeddings>(options));
  const auto encoder = register_module("encoder", std::make_shared<bert::Encoder>(options));
  layers = encoder->layer;
  init_transformer(*this, options.init_std);
}

std::vector<int64_t> BertModel::looking_layers() const {
  std::vector<int64_t> out;
  for (size_t i = 0; i < layers->layers().size(); ++i) {
    if (layers->layers()[i]->crossattention) out.push_back(static_cast<int64_t>(i));
  }
  return out;
}

const Tensor& BertModel::word_embeddings() const { return embeddings_->word_embeddings->weight; }
int64_t BertModel::positions() const { return embeddings_->position_embeddings->weight.size(0); }

Tensor BertModel::embed(const Tensor& ids, int64_t past) const {
  if (past + ids.size(1) > positions()) fail("the text is longer than the ", positions(), " ids that the model can hold");
  return embeddings_->forward(ids, past);
}

namespace bert {

Tensor selected(const Tensor& x, const Tensor& rows) { return x.defined() && rows.defined() ? x.index_select(0, rows) : x; }

}  // namespace bert

Tensor BertModel::run(Tensor x, const Tensor& mask, const std::vector<BertContext>& contexts, int64_t first, int64_t last,
                      AttentionTrace* trace) const {
  using bert::selected;
  for (int64_t i = first; i < last; ++i) {
    const auto& layer = layers->layers()[i];
    BertContext context;
    if (!contexts.empty() && i >= options_.fusion_layer) context = contexts[static_cast<size_t>(i - options_.fusion_layer) % contexts.size()];
    const Tensor encoder_mask = selected(context.mask, context.rows);
    Tensor* probabilities = trace && trace->layer == i ? &trace->probabilities : nullptr;
    std::function<Tensor(const std::vector<Tensor>&)> block;
    std::vector<Tensor> inputs = {x, mask, encoder_mask};
    if (context.keys.empty()) {
      block = [layer, probabilities](const std::vector<Tensor>& in) { return layer->forward(in[0], in[1], in[3], in[2], probabilities); };
      inputs.push_back(selected(context.states, context.rows));
    } else {
      block = [layer, probabilities](const std::vector<Tensor>& in) { return layer->forward_projected(in[0], in[1], {in[3], in[4]}, in[2], probabilities); };
      const auto& [keys, values] = context.keys.at(static_cast<size_t>(i - options_.fusion_layer));
      inputs.push_back(selected(keys, context.rows));
      inputs.push_back(selected(values, context.rows));
    }
    x = probabilities ? block(inputs) : run_block(*layer, block, inputs);
  }
  return x;  // [B, L, D]
}

Tensor BertModel::forward(const Tensor& ids, const Tensor& mask, const Tensor& encoder, const Tensor& encoder_mask, AttentionTrace* trace) const {
  std::vector<BertContext> contexts;
  if (encoder.defined()) contexts.emplace_back(encoder, encoder_mask);
  return run(embed(ids), mask, contexts, 0, static_cast<int64_t>(layers->layers().size()), trace);
}

Tensor BertModel::encode_text(const Tensor& ids, const Tensor& mask) const {
  const int64_t last = std::min<int64_t>(options_.fusion_layer, options_.layers);
  return run(embed(ids), additive_key_mask(mask, options_.self_mask), {}, 0, last);
}

Tensor BertModel::fuse(const Tensor& text, const Tensor& mask, const std::vector<BertContext>& contexts, AttentionTrace* trace) const {
  std::vector<BertContext> added = contexts;
  for (auto& context : added) context.mask = additive_key_mask(context.mask, options_.cross_mask);
  return run(text, additive_key_mask(mask, options_.self_mask), added, options_.fusion_layer, options_.layers, trace);
}

BertContext BertModel::project(const Tensor& states, const Tensor& mask) const {
  BertContext out(states, mask);
  for (int64_t i = options_.fusion_layer; i < options_.layers; ++i) {
    const auto& layer = layers->layers()[i];
    if (!layer->crossattention) fail("this text model has no cross attention, so it cannot look at a picture");
    out.keys.push_back(layer->crossattention->project(states));
  }
  return out;
}

Tensor BertModel::encode_pair(const Tensor& ids, const Tensor& mask, const std::vector<BertContext>& contexts) const {
  return fuse(encode_text(ids, mask), mask, contexts);
}

BertCache BertModel::begin(const Tensor& encoder, const Tensor& encoder_mask) const {
  BertCache cache;
  cache.cross_mask = additive_key_mask(encoder_mask, options_.cross_mask);
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
  for (size_t i = 0; i < cache.self.size(); ++i) {
    x = layers->layers()[i]->forward_cached(x, cache.self[i], hidden, cache.cross[i], cache.cross_mask);
  }
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
  init_transformer(*this, options.init_std);
}

Tensor BertLmHead::forward(const Tensor& x, const Tensor& word_embeddings) const {
  const auto& transform = *predictions_->transform;
  const Tensor y = transform.LayerNorm->forward(activate(transform.dense->forward(x), activation_));
  return fast_linear(y, word_embeddings, predictions_->bias);
}

Tensor additive_key_mask(const Tensor& mask, double hidden) {
  if (!mask.defined()) return {};
  const Tensor seen = mask.ne(0).view({mask.size(0), 1, 1, mask.size(1)});
  return at::zeros(seen.sizes(), seen.options().dtype(at::kFloat)).masked_fill_(seen.logical_not(), hidden);
}

Tensor additive_causal_mask(int64_t length, const Tensor& mask, double hidden) {
  const auto flags = mask.defined() ? mask.options().dtype(at::kBool) : at::TensorOptions().dtype(at::kBool);
  Tensor seen = at::ones({1, 1, length, length}, flags).tril();
  if (mask.defined()) seen = seen.logical_and(mask.ne(0).view({mask.size(0), 1, 1, mask.size(1)}));
  return at::zeros(seen.sizes(), seen.options().dtype(at::kFloat)).masked_fill_(seen.logical_not(), hidden);
}

}  // namespace vlm
