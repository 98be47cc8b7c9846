// A weight K of up to 24 bits does not fit the 16-bit multiply-add, so K = (K >> 15) * 2^15 + (K & 32767), two
// multiply-adds, and the sums are put together at the end. All sums are modulo 2^32 and the whole fits 32 bits, so the
// result is that of the plain loops to the bit.
#include "vlm/data/image_resample.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <cstring>
#endif

namespace vlm::resample {

#if defined(__x86_64__)

#define VLM_AVX2 __attribute__((target("avx2")))

bool have_avx2() {
  static const bool have = __builtin_cpu_supports("avx2");
  return have;
}

void widen(Taps& taps) {
  const size_t groups = size_t(taps.stride) / 4;
  taps.wide.resize(taps.first.size() * groups * 32);
  int16_t* out = taps.wide.data();
  for (size_t g = 0; g < taps.first.size() * groups; ++g, out += 32) {
    const int32_t* k = &taps.weights[g * 4];
    for (int i = 0; i < 16; ++i) {
      const int32_t weight = k[(i & 1) + (i >= 8 ? 2 : 0)];
      out[i] = static_cast<int16_t>(weight >> 15);
      out[16 + i] = static_cast<int16_t>(weight & 32767);
    }
  }
}

/// Both halves of two rows' sums added up: row 0 in the lower half, row 1 in the upper, as levels not yet cut to 0 .. 255.
VLM_AVX2 static inline __m256i joined(__m256i h0, __m256i l0, __m256i h1, __m256i l1) {
  const __m256i s0 = _mm256_add_epi32(_mm256_slli_epi32(h0, 15), l0), s1 = _mm256_add_epi32(_mm256_slli_epi32(h1, 15), l1);
  const __m256i sum = _mm256_add_epi32(_mm256_permute2x128_si256(s0, s1, 0x20), _mm256_permute2x128_si256(s0, s1, 0x31));
  return _mm256_srai_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(rounding)), precision_bits);
}

VLM_AVX2 static inline void store4(uint8_t* out, int value) { std::memcpy(out, &value, 4); }

VLM_AVX2 void horizontal_avx2(const uint8_t* const in[4], uint8_t* const out[4], int channels, const Taps& taps) {
  // Of four pixels: in the lower half r0 r1 g0 g1 b0 b1 (a0 a1) as 16-bit numbers, in the upper half those of 2 and 3.
  const __m256i spread = channels == 3
      ? _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1,
                         6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1)
      : _mm256_setr_epi8(0, -1, 4, -1, 1, -1, 5, -1, 2, -1, 6, -1, 3, -1, 7, -1,
                         8, -1, 12, -1, 9, -1, 13, -1, 10, -1, 14, -1, 11, -1, 15, -1);
  const int groups = taps.stride / 4, step = 4 * channels;
  const size_t outputs = taps.first.size();
  for (size_t o = 0; o < outputs; ++o) {
    const auto* wide = reinterpret_cast<const __m256i*>(&taps.wide[o * size_t(groups) * 32]);
    const size_t begin = size_t(taps.first[o]) * size_t(channels);
    const uint8_t *p0 = in[0] + begin, *p1 = in[1] + begin, *p2 = in[2] + begin, *p3 = in[3] + begin;
    __m256i h0 = _mm256_setzero_si256(), h1 = h0, h2 = h0, h3 = h0, l0 = h0, l1 = h0, l2 = h0, l3 = h0;
    const int needed = (taps.used[o] + 3) / 4;
    for (int g = 0; g < needed; ++g, wide += 2) {
      const __m256i kh = _mm256_loadu_si256(wide), kl = _mm256_loadu_si256(wide + 1);
      const auto four = [&](const uint8_t* p) VLM_AVX2 {
        return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))), spread);
      };
      const __m256i v0 = four(p0), v1 = four(p1), v2 = four(p2), v3 = four(p3);
      h0 = _mm256_add_epi32(h0, _mm256_madd_epi16(v0, kh)), l0 = _mm256_add_epi32(l0, _mm256_madd_epi16(v0, kl));
      h1 = _mm256_add_epi32(h1, _mm256_madd_epi16(v1, kh)), l1 = _mm256_add_epi32(l1, _mm256_madd_epi16(v1, kl));
      h2 = _mm256_add_epi32(h2, _mm256_madd_epi16(v2, kh)), l2 = _mm256_add_epi32(l2, _mm256_madd_epi16(v2, kl));
      h3 = _mm256_add_epi32(h3, _mm256_madd_epi16(v3, kh)), l3 = _mm256_add_epi32(l3, _mm256_madd_epi16(v3, kl));
      p0 += step, p1 += step, p2 += step, p3 += step;
    }
    const __m256i words = _mm256_packs_epi32(joined(h0, l0, h1, l1), joined(h2, l2, h3, l3));  // rows 0, 2 | 1, 3
    const __m256i levels = _mm256_packus_epi16(words, words);
    const __m128i even = _mm256_castsi256_si128(levels), odd = _mm256_extracti128_si256(levels, 1);
    const size_t at = o * size_t(channels);
    store4(out[0] + at, _mm_cvtsi128_si32(even));
    store4(out[1] + at, _mm_cvtsi128_si32(odd));
    store4(out[2] + at, _mm_extract_epi32(even, 1));
    store4(out[3] + at, _mm_extract_epi32(odd, 1));
  }
}

void pair(Taps& taps) {
  const size_t pairs = taps.weights.size() / 2;
  taps.pairs.resize(2 * pairs);
  for (size_t i = 0; i < pairs; ++i) {
    const int32_t a = taps.weights[2 * i], b = taps.weights[2 * i + 1];
    taps.pairs[2 * i] = (a >> 15 & 0xFFFF) | static_cast<int32_t>(static_cast<uint32_t>(b >> 15) << 16);
    taps.pairs[2 * i + 1] = (a & 32767) | (b & 32767) << 16;
  }
}

/// 16 levels of the sums of columns 0 to 7 and 8 to 15.
VLM_AVX2 static inline void store_levels(uint8_t* out, __m256i h0, __m256i l0, __m256i h1, __m256i l1) {
  const __m256i half = _mm256_set1_epi32(rounding);
  const __m256i s0 = _mm256_srai_epi32(_mm256_add_epi32(_mm256_add_epi32(_mm256_slli_epi32(h0, 15), l0), half), precision_bits);
  const __m256i s1 = _mm256_srai_epi32(_mm256_add_epi32(_mm256_add_epi32(_mm256_slli_epi32(h1, 15), l1), half), precision_bits);
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(s0, s1), 0xD8);
  const __m128i levels = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), levels);
}

VLM_AVX2 void vertical_avx2(const uint8_t* const* rows, const Taps& taps, size_t output, int64_t bytes, uint8_t* out) {
  const int used = taps.used[output];
  const int32_t* const weights = &taps.weights[output * size_t(taps.stride)];
  const int32_t* const pairs = &taps.pairs[output * size_t(taps.stride)];
  int64_t x = 0;
  for (; x + 32 <= bytes; x += 32) {
    __m256i h0 = _mm256_setzero_si256(), h1 = h0, h2 = h0, h3 = h0, l0 = h0, l1 = h0, l2 = h0, l3 = h0;
    for (int i = 0; i < used; i += 2) {
      const uint8_t *a = rows[i] + x, *b = rows[i + 1 < used ? i + 1 : i] + x;  // beyond the last row the weight is 0
      const __m256i kh = _mm256_set1_epi32(pairs[i]), kl = _mm256_set1_epi32(pairs[i + 1]);
      const auto load = [](const uint8_t* p) VLM_AVX2 { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); };
      const __m128i a0 = load(a), b0 = load(b), a1 = load(a + 16), b1 = load(b + 16);
      const __m256i v0 = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(a0, b0)), v1 = _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(a0, b0));
      const __m256i v2 = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(a1, b1)), v3 = _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(a1, b1));
      h0 = _mm256_add_epi32(h0, _mm256_madd_epi16(v0, kh)), l0 = _mm256_add_epi32(l0, _mm256_madd_epi16(v0, kl));
      h1 = _mm256_add_epi32(h1, _mm256_madd_epi16(v1, kh)), l1 = _mm256_add_epi32(l1, _mm256_madd_epi16(v1, kl));
      h2 = _mm256_add_epi32(h2, _mm256_madd_epi16(v2, kh)), l2 = _mm256_add_epi32(l2, _mm256_madd_epi16(v2, kl));
      h3 = _mm256_add_epi32(h3, _mm256_madd_epi16(v3, kh)), l3 = _mm256_add_epi32(l3, _mm256_madd_epi16(v3, kl));
    }
    store_levels(out + x, h0, l0, h1, l1);
    store_levels(out + x + 16, h2, l2, h3, l3);
  }
  for (; x < bytes; ++x) {
    int32_t sum = rounding;
    for (int i = 0; i < used; ++i) sum += rows[i][x] * weights[i];
    out[x] = to_level(sum);
  }
}

#undef VLM_AVX2

#else

bool have_avx2() { return false; }
void widen(Taps&) {}
void pair(Taps&) {}
void horizontal_avx2(const uint8_t* const in[4], uint8_t* const out[4], int channels, const Taps& taps) {
  horizontal_plain(in, out, channels, taps);
}
void vertical_avx2(const uint8_t* const* rows, const Taps& taps, size_t output, int64_t bytes, uint8_t* out) {
  vertical_plain(rows, taps, output, bytes, out);
}

#endif

}  // namespace vlm::resample
