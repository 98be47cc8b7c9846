#pragma once
/// What can be had without learning: the training picture whose pixels are nearest. A model that does not beat what this says
/// has learnt nothing of use.

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

#include "vlm/eval/sample_stream.h"

namespace vlm {

using at::Tensor;

/// The pictures of the samples that `want` accepts as 16 x 16 pixels, levels in 0 .. 1: [N, 768]. A picture is fitted into 64 x 64
/// on white, of which every 4 x 4 are averaged, so that pictures of other shapes lose no detail to whole pixels. Calls `keep` for each, in order. Pictures that cannot be decoded are counted as skipped.
Tensor pixel_vectors(SampleStream& stream, SkipCounter& skips, const std::function<bool(const Sample&)>& want,
                     const std::function<void(Sample&)>& keep);

/// For each row of `queries` ([N, D]) the number of the nearest row of `known` ([M, D]) by Euclidean distance, the first of
/// equals: [N]. Throws if the widths differ or there are no rows.
std::vector<int64_t> nearest_rows(const Tensor& queries, const Tensor& known);

}  // namespace vlm
