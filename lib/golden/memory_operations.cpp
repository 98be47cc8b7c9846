/// Computations that trade time for memory, against the plain ones.

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/tanh.h>

#include "vlm/golden/case.h"
#include "vlm/losses/contrastive_blocks.h"
#include "vlm/models/layers/basic.h"
#include "vlm/models/layers/recompute.h"

namespace vlm::golden {

namespace memory_operations {

Result gradcache(const Case& c) {
  TensorMap weights;
  for (const auto& [name, tensor] : c.weights()) weights[name] = tensor.clone().requires_grad_();
  const auto encoder = [&](const std::string& tower) {
    return [&weights, tower](const Tensor& x) {
      const Tensor hidden = at::tanh(at::linear(x, weights.at(tower + ".0.weight"), weights.at(tower + ".0.bias")));
      return at::linear(hidden, weights.at(tower + ".2.weight"), weights.at(tower + ".2.bias"));
    };
  };
  const Tensor image = normalize(recompute_in_chunks(encoder("image"), c.in("image"), c.param("chunk_image", int64_t(0))));
  const Tensor text = normalize(recompute_in_chunks(encoder("text"), c.in("text"), c.param("chunk_text", int64_t(0))));
  const Tensor scale = at::full({}, 1 / c.param("temperature", 1.0), image.options().requires_grad(false));
  // Strips of three rows, so that batches of cases are cut at all.
  const Tensor loss = contrastive_loss_in_blocks(image, text, image, text, scale, {}, 0, {.block_rows = 3});
  loss.backward();
  Result result;
  result.set("out.loss", loss);
  for (const auto& [name, tensor] : weights) result.set("grad." + name, tensor.grad());
  return result;
}

}  // namespace memory_operations

void add_memory_operations(Operations& operations) { operations["gradcache.equivalence"] = memory_operations::gradcache; }

}  // namespace vlm::golden
