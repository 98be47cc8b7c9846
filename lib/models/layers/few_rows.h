#pragma once
/// The product of a few rows with a weight as it lies in memory, bound by the speed at which the weight is read.

#include <cstdint>

namespace vlm {

/// With more rows than this a blocked matrix product is faster.
constexpr int64_t few_rows_limit = 16;

/// True if this processor has what the kernel needs (AVX2 and FMA).
bool few_rows_supported();

/// y = x Wᵀ + b. x: [rows, in], w: [out, in], b: [out] or null, y: [rows, out]; row-major. Runs on LibTorch's threads.
void few_rows_linear(const float* x, const float* w, const float* b, float* y, int64_t rows, int64_t in, int64_t out);

}  // namespace vlm
