#pragma once
/// What training does to pictures: random crops, colours and shapes (specs: clip, 11.4). Everything is drawn from the given
/// stream, so a picture comes out the same whoever reads it.

#include <array>

#include "vlm/core/rng.h"
#include "vlm/data/transforms.h"

namespace vlm {

/// The defaults are those of open_clip's training.
struct TrainTransformOptions {
  std::vector<int64_t> size;                          ///< [height, width] or one number; empty: that of evaluation
  std::vector<double> scale = {0.9, 1.0};
  std::vector<double> ratio = {3.0 / 4, 4.0 / 3};
  std::string interpolation = "bicubic";
  double hflip_prob = 0;
  std::vector<double> color_jitter;                   ///< brightness, contrast, saturation, hue; empty: none
  double color_jitter_prob = 0;
  double gray_scale_prob = 0;
  double blur_prob = 0;
  std::vector<double> blur_sigma = {0.1, 2.0};
  int64_t rand_augment = 0;
  int64_t rand_augment_level = 7;
  double rand_augment_prob = 0.5;
  bool pad_square = false;
  bool squash = false;
  int64_t shift = 0;

  void fields(Fields& f);
};

/// An open_clip aug_cfg: scale, ratio, color_jitter, color_jitter_prob, gray_scale_prob. Unknown keys are ignored, as there.
TrainTransformOptions read_open_clip_augmentation(const nlohmann::json& aug_cfg);

/// RandomResizedCrop's box: ten tries at a share of the area from `scale` and a log-uniform width / height from `ratio`,
/// then the largest centre crop inside the ratios.
Box draw_crop(const ImageSize& picture, const std::vector<double>& scale, const std::vector<double>& ratio, SplitMix64& random);

/// Brightness, contrast and saturation by factors from [max(0, 1 - x), 1 + x], hue from [-x, x], in random order.
Image color_jitter(const Image& image, const std::vector<double>& strengths, SplitMix64& random);

/// `count` operations drawn with replacement, each applied with `probability`, as ALBEF and mPLUG train (specs: mplug, 3).
Image rand_augment(const Image& image, int64_t count, int64_t level, double probability, SplitMix64& random);

/// Where the pixels of a picture have gone: x becomes scale_x x + shift_x and y the same way, in a picture of width x height.
/// What RandAugment moves and shears is not in it.
struct Placement {
  double scale_x = 1, scale_y = 1, shift_x = 0, shift_y = 0;
  double width = 0, height = 0;
  /// x0, y0, x1, y1, cut at the picture's edges; empty boxes stay so.
  std::array<double, 4> box(const std::array<double, 4>& box) const;
};

/// Safe to share between threads.
class TrainTransform {
 public:
  /// Mean, std and (if the options name none) the size are those of `evaluation`.
  TrainTransform(const TrainTransformOptions& options, const PreprocessOptions& evaluation);
  ImageSize output_size() const { return {static_cast<int>(height_), static_cast<int>(width_)}; }

  /// Still in levels. Pictures of four channels lose their alpha. `placed`: where the pixels went; may be null.
  Image augment(const Image& image, SplitMix64& random, Placement* placed = nullptr) const;
  at::Tensor operator()(const Image& image, SplitMix64& random) const;  ///< float32 [3, H, W]
  /// Fills the 3 * H * W numbers of one row of a batch.
  void write(const Image& image, SplitMix64& random, float* out, Placement* placed = nullptr) const;

 private:
  TrainTransformOptions options_;
  int64_t height_, width_;
  Filter filter_;
  Normalizer normalizer_;
};

}  // namespace vlm
