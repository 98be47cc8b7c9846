#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros_like.h>

#include "vlm/core/error.h"
#include "vlm/golden/case.h"
#include "vlm/losses/contrastive.h"

namespace vlm::golden {

namespace loss_operations {

void set_gradient(Result& result, const std::string& name, const Tensor& leaf) {
  if (leaf.defined()) result.set("grad." + name, leaf.grad().defined() ? leaf.grad() : at::zeros_like(leaf));
}

Tensor leaf(const Case& c, const std::string& name) { return c.has_in(name) ? c.in(name).clone().requires_grad_() : Tensor(); }

/// `in.NAME.rank`, or `in.NAME` where all ranks share the value.
Tensor leaf_of_rank(const Case& c, const std::string& name, int64_t rank) {
  const std::string own = name + "." + std::to_string(rank);
  return leaf(c, c.has_in(own) ? own : name);
}

Result clip_loss(const Case& c) {
  Result result;
  const auto ranks = c.param("world_size", int64_t(1));
  const ContrastiveOptions options{c.param("local_loss", false), c.param("gather_with_grad", false)};
  if (ranks == 1) {
    const Tensor image = leaf(c, "image_features"), text = leaf(c, "text_features");
    const Tensor scale = leaf(c, "logit_scale"), bias = leaf(c, "logit_bias");
    const Tensor loss = contrastive_loss(image, text, scale, bias);
    loss.backward();
    result.set("out.loss", loss);
    set_gradient(result, "image_features", image);
    set_gradient(result, "text_features", text);
    set_gradient(result, "logit_scale", scale);
    set_gradient(result, "logit_bias", bias);
    return result;
  }
  std::vector<Tensor> images, texts, scales, biases;
  for (int64_t r = 0; r < ranks; ++r) {
    images.push_back(leaf_of_rank(c, "image_features", r));
    texts.push_back(leaf_of_rank(c, "text_features", r));
    scales.push_back(leaf_of_rank(c, "logit_scale", r));
    biases.push_back(leaf_of_rank(c, "logit_bias", r));
  }
  // All ranks run backward together: what flows back to a shard is summed over the ranks' losses.
  for (int64_t r = 0; r < ranks; ++r) {
    const Tensor loss = contrastive_loss_on_rank(images[r], texts[r], gather_shards(images, r, options), gather_shards(texts, r, options),
                                                 scales[r], biases[r], r, options);
    loss.backward();
    result.set("out.loss." + std::to_string(r), loss);
  }
  for (int64_t r = 0; r < ranks; ++r) {
    const std::string rank = "." + std::to_string(r);
    set_gradient(result, "image_features" + rank, images[r]);
    set_gradient(result, "text_features" + rank, texts[r]);
    set_gradient(result, "logit_scale" + rank, scales[r]);
    set_gradient(result, "logit_bias" + rank, biases[r]);
  }
  return result;
}

}  // namespace loss_operations

void add_loss_operations(Operations& operations) { operations["clip.loss"] = loss_operations::clip_loss; }

}  // namespace vlm::golden
