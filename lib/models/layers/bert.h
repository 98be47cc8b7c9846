#pragma once
/// BERT (Devlin et al., arXiv 1810.04805) with cross attention, as BLIP, ALBEF and their kin use it: post-norm blocks under HF's
/// weight names. Specs: clip, 5.3; alignment, 1.2.

#include <limits>
#include <memory>
#include <vector>

#include "vlm/models/layers/attention.h"
#include "vlm/models/layers/basic.h"
#include "vlm/models/layers/kv_cache.h"
#include "vlm/models/layers/recompute.h"

namespace vlm {

struct BertOptions {
  int64_t vocab_size = 30524, width = 768, intermediate = 3072, layers = 12, heads = 12, positions = 512;
  int64_t encoder_width = 768;        ///< width of what cross attention looks at
  bool cross_attention = true;
  double eps = 1e-12;
  double init_std = 0.02;            ///< of new linear and embedding weights
  Activation activation = Activation::gelu;
  int64_t fusion_layer = 0;           ///< layers below it have no cross attention, and no weights for it
  int64_t token_types = 0;            ///< rows of a table of token types, of which type 0 is added everywhere; 0: no table
  int64_t padding = -1;               ///< the word whose look-ups give no gradient; -1: there is none
  double hidden_dropout = 0;          ///< of embeddings and of what is added to a residual; in training
  double attention_dropout = 0;       ///< of attention probabilities; in training
  bool shared_cross_keys = false;     ///< layers fusion_layer + 2i and + 2i + 1 have one key and one value projection (NLVR2)
  double self_mask = std::numeric_limits<float>::lowest();   ///< added to scores of hidden keys in self attention
  double cross_mask = std::numeric_limits<float>::lowest();  ///< the same in cross attention
};

/// What cross attention looks at.
struct BertContext {
  BertContext() = default;
  BertContext(Tensor states_, Tensor mask_ = {}, Tensor rows_ = {}) : states(std::move(states_)), mask(std::move(mask_)), rows(std::move(rows_)) {}

  Tensor states;  ///< [B, Le, De]
  Tensor mask;    ///< [B, Le], 0 where a state is hidden; undefined: none is
  /// What BertModel::project() computed of the states, so that several looks at them share it: keys and values [B, Le, D] of each
  /// layer that looks at this context, in the layers' order. Empty: each layer computes its own.
  std::vector<std::pair<Tensor, Tensor>> keys;
  Tensor rows;  ///< [R], int64, which context each of R texts looks at; undefined: text b looks at number b
};

/// Caches of a decoder that goes on token by token.
struct BertCache {
  std::vector<KeyValueCache> self;                    ///< one a layer
  std::vector<std::pair<Tensor, Tensor>> cross;       ///< keys and values of the encoder's states, one pair a layer
  Tensor cross_mask;                                  ///< [B, 1, 1, Le], added; undefined: all states are looked at
  Tensor key_mask;                                    ///< [R, length], 1: a token; undefined as long as there is no padding
  int64_t length = 0;

  void select(const Tensor& rows);
};

/// query, key and value projections.
class BertSelfAttention : public torch::nn::Module {
 public:
  BertSelfAttention(int64_t width, int64_t key_width);
  /// Takes the key and value projections of another one for its own.
  void share_keys_of(const BertSelfAttention& other);

  std::shared_ptr<Linear> query, key, value;
};

/// dense, then LayerNorm of the sum with what went in before.
class BertOutput : public torch::nn::Module {
 public:
  BertOutput(int64_t in, const BertOptions& options);
  Tensor forward(const Tensor& x, const Tensor& residual) const;

  std::shared_ptr<Linear> dense;
  std::shared_ptr<vlm::LayerNorm> LayerNorm;

 private:
  double dropout_;
};

class BertAttention : public torch::nn::Module {
 public:
  BertAttention(int64_t key_width, const BertOptions& options);
  /// x: [B, L, D], context: [B, Lk, Dk]; mask, added: [B or 1, 1, L or 1, Lk]. The probabilities go to `probabilities`, if given.
  Tensor forward(const Tensor& x, const Tensor& context, const Tensor& mask, Tensor* probabilities = nullptr) const;
  /// The same from the context's keys and values, [B, Lk, D] each, of project().
  Tensor forward_projected(const Tensor& x, const std::pair<Tensor, Tensor>& keys, const Tensor& mask, Tensor* probabilities = nullptr) const;
  std::pair<Tensor, Tensor> project(const Tensor& context) const;
  /// Keys and values, split over heads: [B, H, Lk, d] each.
  std::pair<Tensor, Tensor> keys_of(const Tensor& context) const;
  Tensor forward_keys(const Tensor& x, const Tensor& keys, const Tensor& values, const Tensor& mask = {}) const;

  std::shared_ptr<BertSelfAttention> self;
  std::shared_ptr<BertOutput> output;

 private:
  int64_t heads_;
  double dropout_;
};

class BertLayer : public torch::nn::Module {
 public:
  BertLayer(const BertOptions& options, bool cross_attention);
  /// x: [B, L, D]; masks as those of BertAttention; encoder: [B, Le, De] or undefined (no cross attention takes place then).
  Tensor forward(Tensor x, const Tensor& mask, const Tensor& encoder, const Tensor& encoder_mask, Tensor* cross_probabilities = nullptr) const;
  /// The same from keys and values of the encoder's states, as crossattention->project() gives them.
  Tensor forward_projected(Tensor x, const Tensor& mask, const std::pair<Tensor, Tensor>& keys, const Tensor& encoder_mask,
                           Tensor* cross_probabilities = nullptr) const;
  /// The next tokens of a decoder.
  Tensor forward_cached(Tensor x, KeyValueCache& cache, const Tensor& mask, const std::pair<Tensor, Tensor>& cross, const Tensor& cross_mask) const;
  /// The last third of the layer: norm(x + down(activation(up(x)))). [B, L, D].
  Tensor feed_forward(const Tensor& x) const;

  std::shared_ptr<BertAttention> attention, crossattention;  ///< crossattention is absent below fusion_layer
  std::shared_ptr<torch::nn::Module> intermediate;
  std::shared_ptr<BertOutput> output;

 private:
  std::shared_ptr<Linear> up_;
  Activation activation_;
};

/// Embeddings and layers; names begin with "embeddings." and "encoder.layer.".
class BertModel : public torch::nn::Module, public RecomputedBlocks {
 public:
  explicit BertModel(const BertOptions& options);
  /// The whole stack. ids: [B, L]; mask, added to self attention: [B or 1, 1, L or 1, L] or undefined; encoder: [B, Le, De] or
  /// undefined (no cross attention takes place then); encoder_mask likewise. Returns [B, L, D].
  Tensor forward(const Tensor& ids, const Tensor& mask, const Tensor& encoder = {}, const Tensor& encoder_mask = {}, AttentionTrace* trace = nullptr) const;

  /// The layers below fusion_layer, which see text alone. ids, mask: [B, L], 0 in the mask for padding. Returns [B, L, D].
  Tensor encode_text(const Tensor& ids, const Tensor& mask) const;
  /// The layers from fusion_layer on, from what encode_text() gave. With several contexts (NLVR2) layer fusion_layer + i looks at
  /// number i mod n. Returns [B, L, D].
  Tensor fuse(const Tensor& text, const Tensor& mask, const std::vector<BertContext>& contexts, AttentionTrace* trace = nullptr) const;
  /// A context whose keys and values are computed once, however often and for however many texts it is given to fuse(); as the only
  /// context there. states: [B, Le, De]; mask: [B, Le] or undefined.
  BertContext project(const Tensor& states, const Tensor& mask = {}) const;
  /// encode_text() and fuse().
  Tensor encode_pair(const Tensor& ids, const Tensor& mask, const std::vector<BertContext>& contexts) const;
  /// Layers first … last - 1 of states [B, L, D]; mask and those of the contexts are additive here. A layer without cross attention
  /// passes the contexts by; none: no layer has any to do.
  Tensor run(Tensor x, const Tensor& mask, const std::vector<BertContext>& contexts, int64_t first, int64_t last,
             AttentionTrace* trace = nullptr) const;
  /// Embeddings of ids [B, L] that stand behind `past` others: [B, L, D].
  Tensor embed(const Tensor& ids, int64_t past = 0) const;

  /// Computes the cross keys of encoder states [B, Le, De], once for all steps. encoder_mask: [B, Le], 0 for hidden states.
  BertCache begin(const Tensor& encoder, const Tensor& encoder_mask = {}) const;
  /// ids, mask: [R, n] (see DecoderState::step). Returns [R, n, D].
  Tensor step(const Tensor& ids, const Tensor& mask, BertCache& cache) const;

  /// The numbers of the layers that have cross attention, rising.
  std::vector<int64_t> looking_layers() const;
  const Tensor& word_embeddings() const;
  int64_t positions() const;
  const BertOptions& options() const { return options_; }

  std::shared_ptr<LayerList<BertLayer>> layers;

 private:
  class Embeddings;

  BertOptions options_;
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
Tensor additive_key_mask(const Tensor& mask, double hidden = std::numeric_limits<float>::lowest());
/// The same with a causal mask: [B or 1, 1, L, L].
Tensor additive_causal_mask(int64_t length, const Tensor& mask, double hidden = std::numeric_limits<float>::lowest());

}  // namespace vlm
