#include "vlm/models/ofa/positions.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace vlm {

namespace ofa_positions {
/// Distances are spread over the buckets as if texts had at most this many tokens, however many they may have.
constexpr int64_t farthest = 1024;
}  // namespace ofa_positions

int64_t token_bucket(int64_t distance, int64_t size) {
  const int64_t middle = size / 2, length = std::abs(distance);
  const int64_t near = length < middle ? middle - 1 : length;
  int64_t out = distance;
  if (near > middle) {
    // The reference divides a float32 logarithm by a double constant that is rounded to float32.
    const float ratio = std::log(static_cast<float>(near) / static_cast<float>(middle));
    const auto whole = static_cast<float>(std::log(static_cast<double>(ofa_positions::farthest - 1) / static_cast<double>(middle)));
    const float place = std::ceil(ratio / whole * static_cast<float>(middle - 1)) + static_cast<float>(middle);
    out = (distance > 0 ? 1 : -1) * std::min(static_cast<int64_t>(place), size - 1);
  }
  return out + size - 1;
}

Tensor token_buckets(int64_t first, int64_t n, int64_t length, int64_t size) {
  Tensor out = at::empty({n, length}, at::kLong);
  int64_t* values = out.mutable_data_ptr<int64_t>();
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < length; ++j) values[i * length + j] = token_bucket(first + i - j, size);
  }
  return out;
}

Tensor image_buckets(const Tensor& queries, const Tensor& keys, int64_t size) {
  const int64_t side = 2 * size - 1, rows = image_bucket_rows(size);
  const Tensor q = queries.unsqueeze(-1), k = keys.unsqueeze(-2);
  const Tensor row = (q - 1).div(size, "floor") - (k - 1).div(size, "floor");
  const Tensor column = (q - 1).remainder(size) - (k - 1).remainder(size);
  const Tensor inside = (row + (size - 1)) * side + (column + (size - 1));
  const Tensor no_query = q.eq(0), no_key = k.eq(0);
  const auto constant = [&](int64_t value) { return at::full_like(inside, value); };
  return at::where(no_query.logical_and(no_key), constant(rows - 1),
                   at::where(no_query, constant(rows - 3), at::where(no_key, constant(rows - 2), inside)));
}

Tensor patch_positions(int64_t height, int64_t width, int64_t size) {
  return (at::arange(height, at::kLong).unsqueeze(1) * size + at::arange(width, at::kLong).unsqueeze(0) + 1).reshape({-1});
}

Tensor code_positions(int64_t first, int64_t count, int64_t window, int64_t size, int64_t rows) {
  Tensor out = at::empty({count}, at::kLong);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t k = first + i - 1;
    int64_t number = k < 0 ? 0 : k < window * window ? k / window * size + k % window + 1 : 1024;
    out.mutable_data_ptr<int64_t>()[i] = std::min(number, rows - 1);
  }
  return out;
}

}  // namespace vlm
