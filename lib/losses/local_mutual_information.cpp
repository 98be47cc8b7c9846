#include "vlm/losses/local_mutual_information.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/diagonal.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/logaddexp.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/matmul.h>

#include <array>
#include <cmath>

#include "vlm/core/error.h"

namespace vlm {

namespace local_information {

constexpr double far = 10000;  // certain in float32 whatever else there is, and finite

int64_t floor_root(int64_t n) { return static_cast<int64_t>(std::floor(std::sqrt(static_cast<double>(n)))); }

}  // namespace local_information

LocalPooling local_pooling_named(std::string_view name) {
  if (name == "sqrt") return LocalPooling::sqrt;
  if (name == "fixed16") return LocalPooling::fixed16;
  fail_usage("local features are pooled by sqrt or fixed16, not '", name, "'");
}

Tensor pool_local_features(const Tensor& local, LocalPooling pooling) {
  if (local.dim() != 3) fail("local features are [B, P, d], not ", local.sizes());
  const int64_t side = local_information::floor_root(local.size(1));
  if (side * side != local.size(1)) fail("local features of ", local.size(1), " patches are no square grid; is the class token among them?");
  const bool fixed = pooling == LocalPooling::fixed16;
  const int64_t window = fixed ? side / 4 : local_information::floor_root(side);
  if (fixed ? window < 1 || side / window != 4 : window * window != side) {
    fail("a grid of ", side, " x ", side, " patches cannot be pooled by '", fixed ? "fixed16" : "sqrt", "', which takes ",
         fixed ? "sides of at least 4 that floor(side / 4) cuts in four" : "sides that are squares (4, 9, 16, 25)",
         "; choose another image or patch size, or the other pooling");
  }
  const std::array<int64_t, 2> kernel{window, window};
  const Tensor grid = local.transpose(1, 2).reshape({local.size(0), local.size(2), side, side});  // [B, d, side, side]
  return at::avg_pool2d(grid, kernel, kernel).flatten(2).transpose(1, 2);                         // [B, c c, d]
}

Tensor local_mutual_information(const Tensor& local, const Tensor& global, const Tensor& temp, const Tensor& mask) {
  using local_information::far;
  if (local.dim() != 3 || global.dim() != 2 || local.size(0) != global.size(0) || local.size(2) != global.size(1)) {
    fail("local mutual information takes parts [B, n, d] and global features [B, d], not ", local.sizes(), " and ", global.sizes());
  }
  const int64_t batch = local.size(0), parts = local.size(1);
  if (batch < 2 || parts < 2) fail("local mutual information needs at least two samples of at least two parts, not ", batch, " of ", parts);
  if (mask.defined() && (mask.dim() != 2 || mask.size(0) != batch || mask.size(1) != parts)) {
    fail("the mask of ", batch, " samples of ", parts, " parts is as large, not ", mask.sizes());
  }
  const Tensor all = local.detach().reshape({batch * parts, -1}).t();                                // [d, B n]
  const Tensor scores = (at::matmul(global, all) / temp).view({batch, batch, parts});                // [B, B', n]
  Tensor positive = at::diagonal(scores, 0, 0, 1).t();                                               // [B, n]
  Tensor hidden = at::eye(batch, scores.options().dtype(at::kBool)).unsqueeze(2);                    // [B, B, 1]
  if (mask.defined()) {
    const Tensor absent = mask.eq(0);
    positive = positive.masked_fill(absent, far);
    hidden = hidden.logical_or(absent.unsqueeze(0));                                                 // [B, B, n]
  }
  // One sum of negatives serves all parts of a sample.
  const Tensor negatives = at::logsumexp(scores.masked_fill(hidden, -far).flatten(1), 1, true);      // [B, 1]
  const Tensor log_share = positive - at::logaddexp(positive, negatives);                            // [B, n]
  if (!mask.defined()) return -log_share.mean();
  return -(log_share.sum(1) / mask.sum(1).clamp_min(1)).mean();
}

}  // namespace vlm
