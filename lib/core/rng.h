#pragma once
/// Random numbers that are the same on every machine and for any number of threads: splitmix64 (Steele, Lea, Flood 2014).
/// Every stream is named by numbers (seed, epoch, sample …), so nothing depends on who draws first.

#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <numeric>
#include <string_view>
#include <utility>
#include <vector>

namespace vlm {

class SplitMix64 {
 public:
  explicit SplitMix64(uint64_t state) : state_(state) {}
  uint64_t next() {
    uint64_t z = state_ += 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
  }
  /// Uniform in [0, 1), 53 bits.
  double uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  /// Uniform in 0 .. n-1; n > 0.
  uint64_t below(uint64_t n) { return next() % n; }
  bool chance(double probability) { return uniform() < probability; }
  /// Standard normal (Box-Muller, one value a call).
  double normal() {
    const double u = 1.0 - uniform();
    return std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * uniform());
  }
  uint64_t state() const { return state_; }

 private:
  uint64_t state_;
};

/// One number out of several; names a stream: mix({seed, epoch, 7}).
inline uint64_t mix(std::initializer_list<uint64_t> numbers) {
  uint64_t h = 0;
  for (const uint64_t x : numbers) h = SplitMix64(h ^ x).next();
  return h;
}
inline uint64_t mix(const std::vector<uint64_t>& numbers) {
  uint64_t h = 0;
  for (const uint64_t x : numbers) h = SplitMix64(h ^ x).next();
  return h;
}

/// 0 .. n-1 in an order drawn by Fisher-Yates from the top.
inline std::vector<int64_t> permutation(int64_t n, uint64_t seed) {
  std::vector<int64_t> p(static_cast<size_t>(n));
  std::iota(p.begin(), p.end(), 0);
  SplitMix64 random(seed);
  for (int64_t i = n - 1; i >= 1; --i) {
    const auto j = static_cast<int64_t>(random.next() % static_cast<uint64_t>(i + 1));
    std::swap(p[static_cast<size_t>(i)], p[static_cast<size_t>(j)]);
  }
  return p;
}

/// Purposes of streams, so that two of them never coincide (specs: data, section 8).
namespace stream {
constexpr uint64_t resampled_shards = 1ull << 32;
constexpr uint64_t augmentation = 1ull << 33;
constexpr uint64_t shuffle_buffer = 1ull << 34;
constexpr uint64_t resampled_order = 1ull << 35;
constexpr uint64_t dataset_mix = 1ull << 36;
}  // namespace stream

/// FNV-1a, 64 bits.
inline uint64_t fnv1a64(std::string_view bytes) {
  uint64_t h = 0xcbf29ce484222325ull;
  for (const unsigned char c : bytes) h = (h ^ c) * 0x100000001b3ull;
  return h;
}

}  // namespace vlm
