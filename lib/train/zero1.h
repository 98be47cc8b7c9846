#pragma once
/// Who of many processes updates what (ZeRO stage 1, arXiv 1910.02054; specs: efficiency, 5).

#include <cstddef>
#include <cstdint>
#include <vector>

namespace vlm {

/// Elements [begin, end) of parameter `index`.
struct Stretch {
  size_t index = 0;
  int64_t begin = 0, end = 0;
};

/// All parameters behind each other in the order of their registration, cut into as many pieces of equal length as there
/// are ranks; the last ones are padded.
struct FlatPartition {
  int64_t total = 0;   ///< elements of all parameters
  int64_t padded = 0;  ///< of all pieces, with the padding
  int64_t begin = 0;   ///< of this rank's piece in the whole …
  int64_t end = 0;     ///< … without padding; less than `begin` for a rank that owns nothing but padding
  std::vector<Stretch> stretches;  ///< what of which parameter this rank owns; none of them is empty
};

/// `sizes`: elements of each parameter. For optimisers that are elementwise. Throws if `rank` is not one of `world`.
FlatPartition partition_flat(const std::vector<int64_t>& sizes, int64_t world, int64_t rank);

/// The rank that owns each parameter, for optimisers that need whole tensors: the largest first, each to the rank that has the
/// least so far (of equal ones the lowest).
std::vector<int64_t> assign_whole(const std::vector<int64_t>& sizes, int64_t world);

}  // namespace vlm
