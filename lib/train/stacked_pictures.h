#pragma once
/// Several pictures of a sample in one row of a batch, one below the other: [3, n H, W].

#include <functional>
#include <utility>
#include <vector>

#include "vlm/train/objective.h"

namespace vlm {

/// The pictures of a sample in their order, always equally many; may change what belongs to them in the sample and its text.
using PickPictures = std::function<std::vector<const Image*>(Sample& sample, const Image& first, SplitMix64& random, std::string& text)>;

/// Augments each of them on its own, as the recipe's data.augment says. size: height and width of one. Throws a usage error if the
/// options give another size.
PrepareSample stacked(const TrainTransformOptions& augment, const PreprocessOptions& evaluation, std::pair<int64_t, int64_t> size, PickPictures pick);

/// Batch::images [B, 3, n H, W] of such rows, picture by picture: n times [B, 3, H, W].
std::vector<Tensor> unstacked(const Tensor& images, int64_t n);

}  // namespace vlm
