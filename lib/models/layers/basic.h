#pragma once
/// The smallest parts of a transformer. Members carry the names of their weights in released checkpoints.

#include <torch/nn/module.h>

#include <string>
#include <vector>

#include "vlm/models/interfaces.h"
#include "vlm/models/layers/block_options.h"

namespace vlm {

/// y = x Wᵀ + b. weight: [out, in], bias: [out].
class Linear : public torch::nn::Module {
 public:
  Linear(int64_t in, int64_t out, bool with_bias = true);
  Tensor forward(const Tensor& x) const;

  Tensor weight, bias;
  Tensor packed;  ///< the weight laid out for inference (fast_linear.h), where it was asked for
};

/// Normalises the last axis; computed in float32 whatever the type of x.
class LayerNorm : public torch::nn::Module {
 public:
  explicit LayerNorm(int64_t width, double eps = 1e-5);
  Tensor forward(const Tensor& x) const;

  Tensor weight, bias;

 private:
  double eps_;
};

/// x * gamma, one factor a channel (CaiT, arXiv 2103.17239).
class LayerScale : public torch::nn::Module {
 public:
  LayerScale(int64_t width, double init);
  Tensor forward(const Tensor& x) const;

  Tensor gamma;
};

/// A lookup table. weight: [rows, width]. Looking up row `padding` gives that row no gradient (-1: there is no such row).
class Embedding : public torch::nn::Module {
 public:
  Embedding(int64_t rows, int64_t width, int64_t padding = -1);
  Tensor forward(const Tensor& ids) const;

  Tensor weight;

 private:
  int64_t padding_;
};

/// quick_gelu is x * sigmoid(1.702 x).
Tensor activate(const Tensor& x, Activation activation);

/// Holds modules under the names "0", "1", …, or from another number on.
template <class Layer>
class LayerList : public torch::nn::Module {
 public:
  explicit LayerList(int64_t first = 0) : first_(first) {}
  void add(std::shared_ptr<Layer> layer) {
    register_module(std::to_string(first_ + static_cast<int64_t>(layers_.size())), layer);
    layers_.push_back(std::move(layer));
  }
  const std::vector<std::shared_ptr<Layer>>& layers() const { return layers_; }

 private:
  int64_t first_;
  std::vector<std::shared_ptr<Layer>> layers_;
};

/// Fills with N(0, std²), out of the stream that `manual_seed` set.
void init_normal(Tensor& tensor, double std);
/// Uniform in ±bound.
void init_uniform(Tensor& tensor, double bound);
/// Weights of all Linear and Embedding parts N(0, std²), biases of Linear zero: how BERT and the transformers of timm begin.
void init_transformer(torch::nn::Module& module, double std = 0.02);
/// Seeds the stream that initialisation draws from.
void seed_initialisation(uint64_t seed);
/// While one exists in a thread, init_normal and init_uniform leave tensors as they are: for models whose weights will all
/// be taken from a file.
class SkipInitialisation {
 public:
  SkipInitialisation();
  ~SkipInitialisation();
  SkipInitialisation(const SkipInitialisation&) = delete;
  SkipInitialisation& operator=(const SkipInitialisation&) = delete;
};

/// x / max(|x|, 1e-12) on the last axis.
Tensor normalize(const Tensor& x);

/// Parameters and buffers of a module under their dotted names.
std::vector<NamedTensor> module_state(const torch::nn::Module& module);
std::vector<NamedTensor> module_parameters(const torch::nn::Module& module);

}  // namespace vlm
