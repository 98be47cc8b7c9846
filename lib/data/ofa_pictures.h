#pragma once
/// What OFA's pretraining does to pictures and the boxes in them (specs: ofa, 4). Everything is drawn from the given stream.
/// Finetuning and evaluation squash pictures to a square, which is Preprocess with resize_mode squash.

#include <vector>

#include "vlm/core/rng.h"
#include "vlm/data/ofa_boxes.h"
#include "vlm/data/transforms.h"

namespace vlm {

struct OfaPictureOptions {
  int64_t patch_image_size = 384;  ///< side of the pictures with texts and with a box
  int64_t code_image_size = 128;   ///< side of what is infilled; those pictures and the ones of detection are twice as wide
  int64_t max_resize = 480;        ///< the short side becomes patch_image_size up to this
  int64_t max_side = 672;          ///< the long side is cut to this, whatever that does to the shape
  int64_t rand_augment = 2;        ///< operations a picture
  int64_t rand_augment_level = 7;

  void fields(Fields& f) {
    f.field("patch_image_size", patch_image_size, "side of pictures with texts, and with a box to be found");
    f.field("code_image_size", code_image_size, "side of the part whose codes are written; its pictures are twice as wide");
    f.field("max_resize", max_resize, "largest short side that a picture is resized to before it is cropped");
    f.field("max_side", max_side, "longest side of a resized picture");
    f.field("rand_augment", rand_augment, "operations of RandAugment a picture");
    f.field("rand_augment_level", rand_augment_level, "their strength, 0 to 10");
  }
};

struct PictureWithBoxes {
  Image image;
  std::vector<Corners> boxes;  ///< in pixels of `image`, inside it
  std::vector<size_t> kept;    ///< which of the given boxes these are
};

/// Resizes to the task's square: what evaluation of grounding does. Boxes move along.
PictureWithBoxes squashed(const Image& image, const std::vector<Corners>& boxes, int64_t side);

/// For captions and questions: resized at random, the centre cropped, RandAugment. patch_image_size squared.
Image augment_pair(const Image& image, const OfaPictureOptions& options, SplitMix64& random);

/// For grounding: resized at random, a square of patch_image_size around the centre of the first box as far as the picture
/// reaches. Boxes are clipped to it. Throws if there is no box.
PictureWithBoxes augment_grounding(const Image& image, const std::vector<Corners>& boxes, const OfaPictureOptions& options, SplitMix64& random);

/// For detection: mirrored in half of all cases, 1 to 1.5 times as large as 2 code_image_size, a random square of that. Boxes are
/// clipped, and those with nothing left are dropped.
PictureWithBoxes augment_detection(const Image& image, const std::vector<Corners>& boxes, const OfaPictureOptions& options, SplitMix64& random);

/// For infilling of pictures: normalised numbers [3, 2c, 2c] with the central c x c, c = code_image_size, set to 0. Pictures
/// of another size than 2c are squashed to it first.
void write_infilling_picture(const Image& image, const Normalizer& normalizer, int64_t code_image_size, float* out);

}  // namespace vlm
