#pragma once
/// Memory for time: parts of a network that keep no graph after the forward pass and are computed a second time in the
/// backward pass (Chen et al., arXiv 1604.06174; GradCache: Gao et al., arXiv 2101.06983; specs: efficiency, 4).
///
/// What fn draws from the default generator (dropout, patches left out) is drawn alike both times, and it runs under the same
/// autocast, so the gradients are those of the plain computation to the last bit. Parameters that fn uses get their gradients
/// when the backward pass comes by.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

namespace torch::nn {
class Module;
}

namespace vlm {

using at::Tensor;

/// fn(inputs), with gradients for those inputs that want them (undefined tensors pass through) and for what fn holds. fn must
/// live on its own: it runs again when the caller has returned. Without gradients being recorded this is a plain call.
Tensor recompute(const std::function<Tensor(const std::vector<Tensor>&)>& fn, const std::vector<Tensor>& inputs);

/// fn of `chunk` rows at a time, joined by rows: fn(input) for an fn that treats rows alone. The backward pass holds the
/// graph of one chunk at a time. input: [B, …]; chunk < 1, or not fewer than B rows: a plain call. In training, normalisation
/// over a batch sees a chunk.
Tensor recompute_in_chunks(const std::function<Tensor(const Tensor&)>& fn, const Tensor& input, int64_t chunk);

/// True while a chunk that is not the last of its recompute_in_chunks() is in its backward pass, anywhere in this process:
/// the gradients of its parameters are not complete yet.
bool recomputing_more();

/// A stack of blocks that can do without its graph. Modules derive from it; Model::set_recompute() switches it.
class RecomputedBlocks {
 public:
  virtual ~RecomputedBlocks() = default;
  void set_recompute(bool on) { on_ = on; }

 protected:
  /// fn(inputs), recomputed if that is switched on and there is something to learn: an input or a parameter of `block` that
  /// wants a gradient.
  Tensor run_block(const torch::nn::Module& block, const std::function<Tensor(const std::vector<Tensor>&)>& fn,
                   const std::vector<Tensor>& inputs) const;

 private:
  bool on_ = false;
};

/// Switches all RecomputedBlocks of a module. Returns false if it has none.
bool set_recompute_in(torch::nn::Module& module, bool on);

}  // namespace vlm
