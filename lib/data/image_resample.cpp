#include "vlm/data/image_resample.h"

namespace vlm::resample {

template <int channels>
void horizontal_row(const uint8_t* in, uint8_t* out, const Taps& taps) {
  for (size_t o = 0; o < taps.first.size(); ++o, out += channels) {
    const int32_t* weights = &taps.weights[o * static_cast<size_t>(taps.stride)];
    const uint8_t* pixel = in + size_t(taps.first[o]) * channels;
    int32_t sums[channels];
    for (int c = 0; c < channels; ++c) sums[c] = rounding;
    for (int i = 0; i < taps.used[o]; ++i, pixel += channels) {
      for (int c = 0; c < channels; ++c) sums[c] += pixel[c] * weights[i];
    }
    for (int c = 0; c < channels; ++c) out[c] = to_level(sums[c]);
  }
}

void horizontal_plain(const uint8_t* const in[4], uint8_t* const out[4], int channels, const Taps& taps) {
  for (int r = 0; r < 4; ++r) {
    if (channels == 3) {
      horizontal_row<3>(in[r], out[r], taps);
    } else {
      horizontal_row<4>(in[r], out[r], taps);
    }
  }
}

void vertical_plain(const uint8_t* const* rows, const Taps& taps, size_t output, int64_t bytes, uint8_t* out) {
  const int used = taps.used[output];
  const int32_t* const weights = &taps.weights[output * static_cast<size_t>(taps.stride)];
  constexpr int64_t block = 64;
  for (int64_t x = 0; x < bytes; x += block) {
    const int64_t n = bytes - x < block ? bytes - x : block;
    int32_t sums[block];
    for (int64_t k = 0; k < n; ++k) sums[k] = rounding;
    for (int i = 0; i < used; ++i) {
      const uint8_t* row = rows[i] + x;
      const int32_t weight = weights[i];
      for (int64_t k = 0; k < n; ++k) sums[k] += row[k] * weight;
    }
    for (int64_t k = 0; k < n; ++k) out[x + k] = to_level(sums[k]);
  }
}

}  // namespace vlm::resample
