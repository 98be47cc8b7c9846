#pragma once
/// BERT (Devlin et al., arXiv 1810.04805) with cross attention, as BLIP and its kin use it: post-norm blocks under HF's
/// weight names. Specs: clip, 5.3.

#include <memory>
#include <vector>

#include "vlm/models/layers/basic.h"
#include "vlm/models/layers/kv_cache.h"
#include "vlm/models/layers/recompute.h"

namespace vlm {

struct BertOptions {
  int64_t vocab_size = 30524, width = 768, intermediate = 3072, layers = 12, heads = 12, positions = 512;
  int64_t encoder_width = 768;        ///< width of what cross attention looks at
  bool cross_attention = true;
  double eps = 1e-12;
  Activation activation = Activation::gelu;
};

/// Caches of a decoder that goes on token by token.
struct BertCache {
  std::vector<KeyValueCache> self;                    ///< one a layer
  std::vector<std::pair<Tensor, Tensor>> cross;       ///< keys and values of the encoder's states, one pair a layer
  Tensor key_mask;                                    ///< [R, length], 1: a token; undefined as long as there is no padding
  int64_t length = 0;

  void select(const Tensor& rows);
};

/// query, key and value projections.
class BertSelfAttention : public torch::nn::Module {
 public:
  BertSelfAttention(int64_t width, int64_t key_width);
  std::shared_ptr<Linear> query, key, value;
};

/// dense, then LayerNorm of the sum with what went in before.
class BertOutput : public torch::nn::Module {
 public:
  BertOutput(int64_t in, int64_t width, double eps);
  Tensor forward(const Tensor& x, const Tensor& residual) const { return LayerNorm->forward(dense->forward(x) + residual); }

  std::shared_ptr<Linear> dense;
  std::shared_ptr<vlm::LayerNorm> LayerNorm;
};

class BertAttention : public torch::nn::Module {
 public:
  BertAttention(int64_t width, int64_t key_width, int64_t heads, double eps);
  /// x: [B, L, D], context: [B, Lk, Dk]; mask, added: [B or 1, 1, L or 1, Lk].
  Tensor forward(const Tensor& x, const Tensor& context, const Tensor& mask) const;
  std::pair<Tensor, Tensor> keys_of(const Tensor& context) const;
  Tensor forward_keys(const Tensor& x, const Tensor& keys, const Tensor& values, const Tensor& mask = {}) const;

  std::shared_ptr<BertSelfAttention> self;
  std::shared_ptr<BertOutput> output;

 private:
  int64_t heads_;
};

class BertLayer : public torch::nn::Module {
 public:
  explicit BertLayer(const BertOptions& options);
  Tensor forward(Tensor x, const Tensor& mask, const Tensor& encoder, const Tensor& encoder_mask) const;
  /// The next tokens of a decoder.
  Tensor forward_cached(Tensor x, KeyValueCache& cache, const Tensor& mask, const std::pair<Tensor, Tensor>& cross) const;

  std::shared_ptr<BertAttention> attention, crossattention;
  std::shared_ptr<torch::nn::Module> intermediate;
  std::shared_ptr<BertOutput> output;

 private:
  Tensor mlp(const Tensor& x) const;

  std::shared_ptr<Linear> up_;
  Activation activation_;
};

/// Embeddings and layers; names begin with "embeddings." and "encoder.layer.".
class BertModel : public torch::nn::Module, public RecomputedBlocks {
 public:
  explicit BertModel(const BertOptions& options);
  /// ids: [B, L]; mask, added to self attention: [B or 1, 1, L or 1, L] or undefined; encoder: [B, Le, De] or undefined (no
  /// cross attention takes place then); encoder_mask likewise. Returns [B, L, D].
  Tensor forward(const Tensor& ids, const Tensor& mask, const Tensor& encoder = {}, const Tensor& encoder_mask = {}) const;

  /// Computes the cross keys of encoder states [B, Le, De], once for all steps.
  BertCache begin(const Tensor& encoder) const;
  /// ids, mask: [R, n] (see DecoderState::step). Returns [R, n, D].
  Tensor step(const Tensor& ids, const Tensor& mask, BertCache& cache) const;

  const Tensor& word_embeddings() const;
  int64_t positions() const;

  std::shared_ptr<LayerList<BertLayer>> layers;

 private:
  class Embeddings;
  Tensor embed(const Tensor& ids, int64_t past) const;

  std::shared_ptr<Embeddings> embeddings_;
};

/// Masked-language-model head: dense, activation, LayerNorm, then the word embeddings as the output weight, plus a bias.
class BertLmHead : public torch::nn::Module {
 public:
  explicit BertLmHead(const BertOptions& options);
  /// x: [..., D], word_embeddings: [V, D]. Returns [..., V].
  Tensor forward(const Tensor& x, const Tensor& word_embeddings) const;

 private:
  class Transform;
  class Predictions;
  std::shared_ptr<Predictions> predictions_;
  Activation activation_;
};

/// What is added to attention scores for keys where mask [B, L] is 0: [B, 1, 1, L]; undefined for an undefined mask.
Tensor additive_key_mask(const Tensor& mask);
/// The same with a causal mask: [B or 1, 1, L, L].
Tensor additive_causal_mask(int64_t length, const Tensor& mask);

}  // namespace vlm
