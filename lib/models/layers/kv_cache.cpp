#include "vlm/models/layers/kv_cache.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <limits>

namespace vlm {

void KeyValueCache::append(const Tensor& k, const Tensor& v) {
  const int64_t more = k.size(2), needed = length_ + more;
  if (!keys_.defined() || keys_.size(2) < needed) {
    const int64_t capacity = std::max<int64_t>({needed, 2 * length_, 16});
    Tensor keys = at::empty({k.size(0), k.size(1), capacity, k.size(3)}, k.options()), values = at::empty_like(keys);
    if (length_ > 0) {
      keys.narrow(2, 0, length_).copy_(this->keys());
      values.narrow(2, 0, length_).copy_(this->values());
    }
    keys_ = std::move(keys);
    values_ = std::move(values);
  }
  keys_.narrow(2, length_, more).copy_(k);
  values_.narrow(2, length_, more).copy_(v);
  length_ = needed;
}

void KeyValueCache::select(const Tensor& rows) {
  if (!keys_.defined()) return;
  keys_ = keys_.index_select(0, rows);
  values_ = values_.index_select(0, rows);
}

Tensor split_heads(const Tensor& x, int64_t heads) {
  return x.view({x.size(0), x.size(1), heads, x.size(2) / heads}).transpose(1, 2);
}

Tensor attend_cached(const Tensor& q, const Tensor& keys, const Tensor& values, int64_t heads, const Tensor& mask) {
  const int64_t rows = q.size(0), n = q.size(1), width = q.size(2), pictures = keys.size(0);
  // Rows that share keys are read as more queries of one attention, so that the keys are neither copied nor read twice.
  const Tensor grouped = split_heads(q.reshape({pictures, rows / pictures * n, width}), heads);
  const Tensor y = at::scaled_dot_product_attention(grouped, keys, values, mask.defined() ? std::optional<Tensor>(mask) : std::nullopt);
  return y.transpose(1, 2).reshape({rows, n, width});
}

Tensor decoding_mask(int64_t n, int64_t past, const Tensor& key_mask) {
  if (n == 1 && !key_mask.defined()) return {};
  const int64_t total = past + n;
  Tensor seen = at::ones({n, total}, at::kBool).tril(past).view({1, 1, n, total});
  if (key_mask.defined()) seen = seen.logical_and(key_mask.ne(0).view({key_mask.size(0), 1, 1, total}));
  return at::zeros(seen.sizes(), at::kFloat).masked_fill_(seen.logical_not(), -std::numeric_limits<float>::infinity());
}

}  // namespace vlm
