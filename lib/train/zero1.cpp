#include "vlm/train/zero1.h"

#include <algorithm>
#include <numeric>

#include "vlm/core/error.h"

namespace vlm {

namespace zero1 {

void check(const std::vector<int64_t>& sizes, int64_t world) {
  if (world < 1) fail("parameters cannot be divided among ", world, " processes");
  for (const int64_t size : sizes) {
    if (size < 0) fail("a parameter cannot have ", size, " elements");
  }
}

}  // namespace zero1

FlatPartition partition_flat(const std::vector<int64_t>& sizes, int64_t world, int64_t rank) {
  zero1::check(sizes, world);
  if (rank < 0 || rank >= world) fail("there is no rank ", rank, " among ", world, " processes");
  FlatPartition out;
  out.total = std::accumulate(sizes.begin(), sizes.end(), int64_t(0));
  const int64_t per = out.total / world + (out.total % world != 0 ? 1 : 0);
  out.padded = world * per;
  out.begin = rank * per;
  out.end = std::min(out.begin + per, out.total);
  int64_t offset = 0;
  for (size_t i = 0; i < sizes.size(); ++i) {
    const int64_t begin = std::max(out.begin, offset), end = std::min(out.end, offset + sizes[i]);
    if (begin < end) out.stretches.push_back({i, begin - offset, end - offset});
    offset += sizes[i];
  }
  return out;
}

std::vector<int64_t> assign_whole(const std::vector<int64_t>& sizes, int64_t world) {
  zero1::check(sizes, world);
  std::vector<size_t> order(sizes.size());
  std::iota(order.begin(), order.end(), size_t(0));
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return sizes[a] > sizes[b]; });
  std::vector<int64_t> load(static_cast<size_t>(world), 0), owner(sizes.size(), 0);
  for (const size_t i : order) {
    const auto least = std::min_element(load.begin(), load.end());
    owner[i] = least - load.begin();
    *least += sizes[i];
  }
  return owner;
}

}  // namespace vlm
