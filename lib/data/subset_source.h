#pragma once
/// A part of another source, for evaluations that are to be quick.

#include <memory>

#include "vlm/data/source.h"

namespace vlm {

/// `count` samples of `whole` at even distances, so that a set that is sorted by class keeps its classes; all of them if it
/// holds no more. `whole` outlives what comes back.
std::unique_ptr<Source> spread_subset(const Source& whole, int64_t count);

}  // namespace vlm
