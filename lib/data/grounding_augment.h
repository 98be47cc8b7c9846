#pragma once
/// What mPLUG's grounding does to pictures in training (specs: mplug, 3.4): a crop that keeps the box, the long side brought to one of seven
/// lengths, colours, a mirror image with left and right exchanged in the expression, and a place in a square that is drawn at random.

#include "vlm/core/rng.h"
#include "vlm/data/grounding_transforms.h"
#include "vlm/data/transforms.h"

namespace vlm {

struct GroundingAugmentOptions {
  int64_t size = 336;          ///< side of the square; set by code
  double crop = 0.5;
  double jitter = 0.8, jitter_strength = 0.4;
  double flip = 0.5;
  std::string interpolation = "bicubic";
  std::vector<double> mean = openai_mean, std = openai_std;

  void fields(Fields& f) {
    f.field("crop", crop, "probability of a crop, unless the expression says left, right, top, bottom or middle");
    f.field("jitter", jitter, "probability of a change of brightness, contrast and saturation");
    f.field("jitter_strength", jitter_strength, "its strength");
    f.field("flip", flip, "probability of a mirror image, with left and right exchanged in the expression");
    f.field("interpolation", interpolation, "nearest, bilinear, bicubic or lanczos");
    f.field("mean", mean, "what pictures are normalised by: CLIP's in training, as published, though evaluation has ImageNet's");
    f.field("std", std, "the same");
  }
};

class GroundingAugment {
 public:
  /// Throws a usage error for options out of range.
  explicit GroundingAugment(const GroundingAugmentOptions& options);
  /// Fills [3, S, S], 0 where there is no picture. box: x0, y0, x1, y1 in pixels of `image` (RGB), afterwards in pixels of the square;
  /// it must have an area. expression: what the box is about, in lower case; changes with a
  /// mirror image.
  void write(const Image& image, Corners& box, std::string& expression, SplitMix64& random, float* out) const;

 private:
  GroundingAugmentOptions options_;
  Filter filter_;
  Normalizer normalizer_;
};

/// Whether an expression says where something is, so that a crop could make it wrong.
bool says_where(const std::string& expression);

/// A crop of 384 … 600 pixels a side (at most the picture's) whose top and left edges the box's centre has passed and in which
/// something of the box is left, of 20 that are drawn; the whole picture if none is. As in the reference x is held against the top and y
/// against the left.
Box draw_grounding_crop(const ImageSize& picture, const Corners& box, SplitMix64& random);

}  // namespace vlm
