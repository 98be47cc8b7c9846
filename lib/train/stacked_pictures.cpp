#include "vlm/train/stacked_pictures.h"

#include <algorithm>

namespace vlm {

PrepareSample stacked(const TrainTransformOptions& augment, const PreprocessOptions& evaluation, std::pair<int64_t, int64_t> size, PickPictures pick) {
  const auto transform = std::make_shared<const TrainTransform>(augment, evaluation);
  const auto [height, width] = size;
  if (transform->output_size().height != height || transform->output_size().width != width) {
    fail_usage("data.augment.size gives ", transform->output_size().height, " x ", transform->output_size().width, ", but the model takes ", height, " x ", width);
  }
  const auto plane = static_cast<size_t>(height * width);
  return [transform, plane, pick = std::move(pick)](Sample& sample, const Image& image, SplitMix64& random, float* pixels, std::string& text) {
    if (image.pixels.empty()) throw SampleError("no_image", sample.place());
    const std::vector<const Image*> pictures = pick(sample, image, random, text);
    std::vector<float> one(3 * plane);
    for (size_t n = 0; n < pictures.size(); ++n) {
      transform->write(*pictures[n], random, one.data());
      for (size_t channel = 0; channel < 3; ++channel) std::copy_n(&one[channel * plane], plane, pixels + (pictures.size() * channel + n) * plane);
    }
  };
}

std::vector<Tensor> unstacked(const Tensor& images, int64_t n) {
  std::vector<Tensor> out;
  for (auto& picture : images.chunk(n, 2)) out.push_back(picture.contiguous());
  return out;
}

}  // namespace vlm
