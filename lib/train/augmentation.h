#pragma once
/// Samples as the recipe's data.augment makes them.

#include "vlm/train/objective.h"

namespace vlm {

/// Decoded pictures may be smaller than stored ones (data.max_side), in whose pixels boxes are: the factor.
double shrunk_by(const Sample& sample, const Image& image);

/// Pictures of height x width; a sample's box goes where its pixels go, into pixels of the picture that comes out. With a height of
/// 0 nothing is done. Throws a usage error if the options give another size.
PrepareSample augmentation_of(const TrainTransformOptions& options, const PreprocessOptions& preprocess, int64_t height, int64_t width);

}  // namespace vlm
