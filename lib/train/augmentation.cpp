#include "vlm/train/augmentation.h"

#include <algorithm>

#include "vlm/core/error.h"

namespace vlm {

double shrunk_by(const Sample& sample, const Image& image) {
  if (sample.images.empty() || sample.images[0].bytes.empty()) return 1;
  const ImageSize stored = read_image_size(sample.images[0].bytes);
  return static_cast<double>(std::max(image.height, image.width)) / static_cast<double>(std::max(stored.height, stored.width));
}

PrepareSample augmentation_of(const TrainTransformOptions& options, const PreprocessOptions& preprocess, int64_t height, int64_t width) {
  if (height == 0 || width == 0) return [](Sample&, const Image&, SplitMix64&, float*, std::string&) {};
  const auto transform = std::make_shared<const TrainTransform>(options, preprocess);
  if (transform->output_size().height != height || transform->output_size().width != width) {
    fail_usage("data.augment.size gives ", transform->output_size().height, " x ", transform->output_size().width, ", but the model takes ", height, " x ",
               width);
  }
  return [transform](Sample& sample, const Image& image, SplitMix64& random, float* pixels, std::string&) {
    if (image.pixels.empty()) throw SampleError("no_image", sample.shard + ": " + sample.key);
    Placement placed;
    transform->write(image, random, pixels, &placed);
    if (!sample.box) return;
    const double shrunk = shrunk_by(sample, image);
    for (double& x : *sample.box) x *= shrunk;
    sample.box = placed.box(*sample.box);
  };
}

}  // namespace vlm
