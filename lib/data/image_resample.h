#pragma once
/// The inner loops of resizing, in plain C++ and for AVX2; both give the same bits. Internal to image_resize.cpp.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace vlm::resample {

/// Weights are fixed-point numbers with this many bits behind the point.
constexpr int precision_bits = 22;
constexpr int32_t rounding = 1 << (precision_bits - 1);

/// Pixels that a load may touch beyond the last tap's pixel, in bytes; what they hold has no effect.
constexpr int read_beyond = 32;

/// For each output position of one axis: the first input position and the weights from there on.
struct Taps {
  std::vector<int32_t> first, used;  ///< [outputs]
  std::vector<int32_t> weights;      ///< [outputs, stride], zeros beyond `used`
  int stride = 0;                    ///< a multiple of 4
  /// The same weights K as K >> 15 and K & 32767, laid out for the AVX2 horizontal pass: for each output and group of
  /// four taps sixteen numbers of each, (k0 k1) four times and (k2 k3) four times.
  std::vector<int16_t> wide;         ///< [outputs, stride / 4, 2, 16], or empty
  /// The same for the vertical pass: two 16-bit numbers in one, for taps 0 and 1, 2 and 3 ...
  std::vector<int32_t> pairs;        ///< [outputs, stride / 2, 2], or empty
};

bool have_avx2();
/// Fill `wide` and `pairs`, which the AVX2 loops need.
void widen(Taps& taps);
void pair(Taps& taps);

/// Four rows of interleaved pixels (3 or 4 channels) at once. Reads up to `read_beyond` bytes after a row's last tap and
/// writes up to 4 bytes after an output row's end.
void horizontal_plain(const uint8_t* const in[4], uint8_t* const out[4], int channels, const Taps& taps);
void horizontal_avx2(const uint8_t* const in[4], uint8_t* const out[4], int channels, const Taps& taps);

/// One output row: out[x] = sum over taps of weight[i] * rows[i][x] for x < bytes; rows[0] is the first tap's row. Reads and
/// writes nothing beyond.
void vertical_plain(const uint8_t* const* rows, const Taps& taps, size_t output, int64_t bytes, uint8_t* out);
void vertical_avx2(const uint8_t* const* rows, const Taps& taps, size_t output, int64_t bytes, uint8_t* out);

inline uint8_t to_level(int32_t sum) {
  const int32_t level = sum >> precision_bits;
  return static_cast<uint8_t>(level < 0 ? 0 : level > 255 ? 255 : level);
}

}  // namespace vlm::resample
