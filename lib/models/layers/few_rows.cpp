#include "vlm/models/layers/few_rows.h"

#include <ATen/Parallel.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <array>
#include <atomic>

namespace vlm {

#if defined(__x86_64__)

namespace few_rows {

constexpr int64_t most_threads = 64;

/// Pieces of the weight that one thread begins with, on a cache line of its own.
struct alignas(64) Stretch {
  std::atomic<int64_t> next{0};
  int64_t end = 0;
};

__attribute__((target("avx2,fma"))) inline float sum(__m256 v) {
  const __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)));
}

/// Columns n .. n + W of the product for M rows of x. W M accumulators stay in registers, so every weight is loaded once.
template <int M, int W>
__attribute__((target("avx2,fma"))) void tile(const float* x, const float* w, const float* b, float* y, int64_t in, int64_t out, int64_t n) {
  __m256 total[M][W];
  for (int m = 0; m < M; ++m) {
    for (int j = 0; j < W; ++j) total[m][j] = _mm256_setzero_ps();
  }
  const float* row = w + n * in;
  int64_t k = 0;
  for (; k + 8 <= in; k += 8) {
    // The rows of the next tile are fetched while these are multiplied: memory is what bounds this loop.
    if (M >= 3 && k % 16 == 0) {
#pragma GCC unroll 8
      for (int j = 0; j < W; ++j) _mm_prefetch(reinterpret_cast<const char*>(row + (j + W) * in + k), _MM_HINT_T0);
    }
    __m256 weight[W];
#pragma GCC unroll 8
    for (int j = 0; j < W; ++j) weight[j] = _mm256_loadu_ps(row + j * in + k);
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
      const __m256 value = _mm256_loadu_ps(x + m * in + k);
#pragma GCC unroll 8
      for (int j = 0; j < W; ++j) total[m][j] = _mm256_fmadd_ps(value, weight[j], total[m][j]);
    }
  }
  for (int m = 0; m < M; ++m) {
    for (int j = 0; j < W; ++j) {
      float value = sum(total[m][j]);
      for (int64_t rest = k; rest < in; ++rest) value += x[m * in + rest] * row[j * in + rest];
      y[m * out + n + j] = value + (b ? b[n + j] : 0.0f);
    }
  }
}

template <int M>
void columns(const float* x, const float* w, const float* b, float* y, int64_t in, int64_t out, int64_t begin, int64_t end) {
  constexpr int wide = M <= 2 ? 4 : 3;
  int64_t n = begin;
  for (; n + wide <= end; n += wide) tile<M, wide>(x, w, b, y, in, out, n);
  for (; n < end; ++n) tile<M, 1>(x, w, b, y, in, out, n);
}

}  // namespace few_rows

bool few_rows_supported() {
  static const bool supported = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return supported;
}

void few_rows_linear(const float* x, const float* w, const float* b, float* y, int64_t rows, int64_t in, int64_t out) {
  // Some 64 KiB of weights a piece: they stay in the cache while further rows of x pass over them.
  const int64_t piece = std::clamp<int64_t>(16384 / std::max<int64_t>(in, 1), 4, 256) / 12 * 12 + 12;
  const int64_t pieces = (out + piece - 1) / piece;
  const auto run = [&](int64_t i) {
    const int64_t begin = i * piece, end = std::min(out, begin + piece);
    int64_t m = 0;
    for (; m + 4 <= rows && rows - m != 5; m += 4) few_rows::columns<4>(x + m * in, w, b, y + m * out, in, out, begin, end);
    for (; rows - m >= 3; m += 3) few_rows::columns<3>(x + m * in, w, b, y + m * out, in, out, begin, end);
    if (rows - m == 2) few_rows::columns<2>(x + m * in, w, b, y + m * out, in, out, begin, end);
    if (rows - m == 1) few_rows::columns<1>(x + m * in, w, b, y + m * out, in, out, begin, end);
  };
  // Every thread reads one stretch of the weight in order: threads that take turns within one stretch got a quarter less
  // bandwidth. Who is done early helps the others to finish theirs, since cores are rarely equally fast.
  const int64_t threads = std::min<int64_t>({at::get_num_threads(), pieces, std::max<int64_t>(1, in * out / 32768), few_rows::most_threads});
  std::array<few_rows::Stretch, few_rows::most_threads> stretches;
  for (int64_t t = 0; t < threads; ++t) {
    stretches[static_cast<size_t>(t)].next = t * pieces / threads;
    stretches[static_cast<size_t>(t)].end = (t + 1) * pieces / threads;
  }
  at::parallel_for(0, threads, 1, [&](int64_t first, int64_t last) {
    for (int64_t own = first; own < last; ++own) {
      for (int64_t t = 0; t < threads; ++t) {
        few_rows::Stretch& stretch = stretches[static_cast<size_t>((own + t) % threads)];
        for (int64_t i = stretch.next.fetch_add(1); i < stretch.end; i = stretch.next.fetch_add(1)) run(i);
      }
    }
  });
}

#else

bool few_rows_supported() { return false; }
void few_rows_linear(const float*, const float*, const float*, float*, int64_t, int64_t, int64_t) {}

#endif

}  // namespace vlm
