#pragma once
/// Where tokens and patches stand: relative buckets and position numbers (specs: ofa, 2.5 and 2.6).

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace vlm {

using at::Tensor;

/// The bucket of a distance between two tokens (query minus key, at most 1023 either way) in a table of 2 size - 1 rows:
/// near ones have their own, far ones share.
int64_t token_bucket(int64_t distance, int64_t size);
/// [n, length], int64: buckets of queries first … first + n - 1 and keys 0 … length - 1.
Tensor token_buckets(int64_t first, int64_t n, int64_t length, int64_t size);

/// Rows of a table of relative positions in pictures.
inline int64_t image_bucket_rows(int64_t size) { return (2 * size - 1) * (2 * size - 1) + 3; }
/// Buckets of pairs of position numbers, query … x key: [..., n], [..., m] -> [..., n, m]. Number 0 is no place in a picture.
Tensor image_buckets(const Tensor& queries, const Tensor& keys, int64_t size);

/// Position numbers of the patches of a picture, row by row: [height * width], each row * size + column + 1.
Tensor patch_positions(int64_t height, int64_t width, int64_t size);
/// Position numbers of the codes of a picture that is written: [count], the first of them 0 for what begins it. `window`:
/// codes in a row; what comes after the last one has the number 1024, or the last of a table of `rows`.
Tensor code_positions(int64_t first, int64_t count, int64_t window, int64_t size, int64_t rows);

}  // namespace vlm
