#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros_like.h>

#include "vlm/core/error.h"
#include "vlm/golden/case.h"
#include "vlm/losses/coca.h"
#include "vlm/losses/contrastive.h"
#include "vlm/losses/distill.h"
#include "vlm/losses/infonce.h"
#include "vlm/losses/sigmoid.h"

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

/// The inputs of one rank, by name; what a case has not is undefined.
class Leaves {
 public:
  Leaves(const Case& c, int64_t rank, int64_t ranks, std::initializer_list<const char*> names) {
    for (const char* name : names) leaves_[name] = ranks == 1 ? leaf(c, name) : leaf_of_rank(c, name, rank);
    suffix_ = ranks == 1 ? "" : "." + std::to_string(rank);
  }
  const Tensor& operator[](const std::string& name) const { return leaves_.at(name); }
  /// "out.loss" -> "out.loss.0" where there are several ranks.
  std::string named(const std::string& output) const { return output + suffix_; }
  void set_gradients(Result& result) const {
    for (const auto& [name, tensor] : leaves_) set_gradient(result, name + suffix_, tensor);
  }

 private:
  std::map<std::string, Tensor> leaves_;
  std::string suffix_;
};

std::vector<Leaves> leaves_of_ranks(const Case& c, std::initializer_list<const char*> names) {
  const auto ranks = c.param("world_size", int64_t(1));
  std::vector<Leaves> out;
  for (int64_t r = 0; r < ranks; ++r) out.emplace_back(c, r, ranks, names);
  return out;
}

std::vector<Tensor> shards(const std::vector<Leaves>& ranks, const std::string& name) {
  std::vector<Tensor> out;
  for (const auto& leaves : ranks) out.push_back(leaves[name]);
  return out;
}

ContrastiveOptions contrastive_options(const Case& c) { return {c.param("local_loss", false), c.param("gather_with_grad", false)}; }

/// One rank's loss of CLIP, with the features of all ranks gathered as the case says.
Tensor contrastive_on(const std::vector<Leaves>& ranks, size_t r, const ContrastiveOptions& options) {
  const Leaves& own = ranks[r];
  if (ranks.size() == 1) return contrastive_loss(own["image_features"], own["text_features"], own["logit_scale"], own["logit_bias"]);
  const auto rank = static_cast<int64_t>(r);
  return contrastive_loss_on_rank(own["image_features"], own["text_features"], gather_shards(shards(ranks, "image_features"), rank, options),
                                  gather_shards(shards(ranks, "text_features"), rank, options), own["logit_scale"], own["logit_bias"], rank,
                                  options);
}

/// All ranks run backward together: what flows back to a shard is summed over the ranks' losses.
void finish(Result& result, const std::vector<Leaves>& ranks, const std::vector<Tensor>& losses) {
  for (size_t r = 0; r < ranks.size(); ++r) {
    losses[r].backward();
    result.set(ranks[r].named("out.loss"), losses[r]);
  }
  for (const auto& leaves : ranks) leaves.set_gradients(result);
}

Result clip_loss(const Case& c) {
  const auto ranks = leaves_of_ranks(c, {"image_features", "text_features", "logit_scale", "logit_bias"});
  Result result;
  std::vector<Tensor> losses;
  for (size_t r = 0; r < ranks.size(); ++r) losses.push_back(contrastive_on(ranks, r, contrastive_options(c)));
  finish(result, ranks, losses);
  return result;
}

Result siglip_loss(const Case& c) {
  const auto ranks = leaves_of_ranks(c, {"image_features", "text_features", "logit_scale", "logit_bias"});
  const auto variant = c.param<std::string>("dist_impl", "bidir");
  if (variant != "bidir" && variant != "shift" && variant != "reduce" && variant != "gather") {
    fail("dist_impl is bidir, shift, reduce or gather, not '", variant, "'");
  }
  SigmoidOptions options;
  options.chunk_rows = 2;  // so that the small batches of the cases are cut at all
  Result result;
  std::vector<Tensor> losses;
  for (size_t r = 0; r < ranks.size(); ++r) {
    losses.push_back(sigmoid_loss_on_rank(ranks[r]["image_features"], shards(ranks, "text_features"), ranks[r]["logit_scale"],
                                          ranks[r]["logit_bias"], static_cast<int64_t>(r), options));
  }
  finish(result, ranks, losses);
  return result;
}

Result coca_loss(const Case& c) {
  const auto ranks = leaves_of_ranks(c, {"image_features", "text_features", "logits", "logit_scale", "logit_bias"});
  CocaOptions options;
  options.clip_loss_weight = c.param("clip_loss_weight", options.clip_loss_weight);
  options.caption_loss_weight = c.param("caption_loss_weight", options.caption_loss_weight);
  options.pad_id = c.param("pad_id", options.pad_id);
  Result result;
  std::vector<Tensor> losses;
  for (size_t r = 0; r < ranks.size(); ++r) {
    const Tensor contrastive = options.clip_loss_weight != 0 ? contrastive_on(ranks, r, contrastive_options(c)) : Tensor();
    const std::string own = ranks[r].named("labels");
    const CocaLoss loss = vlm::coca_loss(contrastive, ranks[r]["logits"], c.in(c.has_in(own) ? own : "labels"), options);
    result.set(ranks[r].named("out.contrastive"), loss.contrastive);
    result.set(ranks[r].named("out.caption"), loss.caption);
    losses.push_back(loss.total());
  }
  finish(result, ranks, losses);
  return result;
}

Result distill_loss(const Case& c) {
  const auto ranks = leaves_of_ranks(c, {"image_features", "text_features", "logit_scale", "logit_bias", "dist_image_features",
                                         "dist_text_features", "dist_logit_scale"});
  const auto options = contrastive_options(c);
  Result result;
  std::vector<Tensor> losses;
  for (size_t r = 0; r < ranks.size(); ++r) {
    const auto scores = [&](const std::string& prefix, const Tensor& bias) {
      const std::string image = prefix + "image_features", text = prefix + "text_features";
      const auto rank = static_cast<int64_t>(r);
      return contrastive_logits_on_rank(ranks[r][image], ranks[r][text], gather_shards(shards(ranks, image), rank, options),
                                        gather_shards(shards(ranks, text), rank, options), ranks[r][prefix + "logit_scale"], bias, options);
    };
    const Tensor contrastive = contrastive_on(ranks, r, options);
    const Tensor distill = vlm::distill_loss(scores("dist_", {}), scores("", ranks[r]["logit_bias"]));
    result.set(ranks[r].named("out.contrastive"), contrastive);
    result.set(ranks[r].named("out.distill"), distill);
    losses.push_back(contrastive + distill);
  }
  finish(result, ranks, losses);
  return result;
}

Result infonce(const Case& c) {
  const auto ranks = leaves_of_ranks(c, {"image_features", "text_features", "logit_scale"});
  Result result;
  const Leaves& in = ranks[0];
  finish(result, ranks, {infonce_loss(in["image_features"], in["text_features"], in["logit_scale"], c.param("label_smoothing", 0.0))});
  return result;
}

}  // namespace loss_operations

void add_loss_operations(Operations& operations) {
  operations["clip.loss"] = loss_operations::clip_loss;
  operations["siglip.loss"] = loss_operations::siglip_loss;
  operations["coca.loss"] = loss_operations::coca_loss;
  operations["distill.loss"] = loss_operations::distill_loss;
  operations["infonce.loss"] = loss_operations::infonce;
}

}  // namespace vlm::golden
