#pragma once
/// The pictures of a data set as vectors, with what protocols need to know of their samples.

#include <ATen/core/Tensor.h>

#include <functional>

#include "vlm/eval/sample_stream.h"
#include "vlm/infer/pipeline.h"

namespace vlm {

/// Embeds the pictures of the samples that `want` accepts; calls `keep` for each one that has a vector, in order. Returns
/// [N, E], unit length.
Tensor embed_samples(const DualEncoderPipeline& pipeline, SampleStream& stream, SkipCounter& skips,
                     const std::function<bool(const Sample&)>& want, const std::function<void(Sample&)>& keep);

}  // namespace vlm
