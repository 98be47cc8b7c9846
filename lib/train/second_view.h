#pragma once
/// Another look at a batch, for losses that hold augmented features against plain ones (specs: alignment, 6).

#include "vlm/data/loader.h"
#include "vlm/text/word_noise.h"

namespace vlm {

struct SecondViewOptions : WordNoiseOptions {
  double crop = 0.6;
  double flip = 0.5;

  void fields(Fields& f) {
    f.field("crop", crop, "smallest share of the picture's area that is cropped and brought back to its size");
    f.field("flip", flip, "probability of mirroring a picture");
    WordNoiseOptions::fields(f);
  }
};

/// images: [B, 3, H, W], of any device. Each is mirrored or not, cropped (proportions kept) and resized bilinearly.
at::Tensor second_pictures(const at::Tensor& images, const SecondViewOptions& options, SplitMix64& random);
/// Ids [B, L] of the texts with word noise, on the device of batch.ids; `tokenize` writes L of them.
at::Tensor second_texts(const Batch& batch, const SecondViewOptions& options, const std::function<void(const std::string&, int64_t*)>& tokenize,
                        SplitMix64& random);

}  // namespace vlm
