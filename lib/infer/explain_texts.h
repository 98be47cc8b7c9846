#pragma once
/// Where texts are in pictures, as maps over the pictures as they were: of each word, and of the whole (infer/grad_cam.h).

#include <string>
#include <vector>

#include "vlm/infer/text_pipeline.h"

namespace vlm {

/// The warmest place of a map, in pixels from the left and the top; the first one of equals.
struct HeatPeak {
  int64_t x = 0, y = 0;
  double heat = 0;
};
/// map: [H, W].
HeatPeak peak_of(const Tensor& map);

/// A map of what the model sees, [s, s'], over the picture as it was, [height, width]; 0 for what the model does not see. pixels_height and
/// _width: of what the model sees. Bicubic.
Tensor heat_on_picture(const Tensor& map, const PicturePlacement& placement, int64_t pixels_height, int64_t pixels_width);

struct ExplainedWord {
  std::string text;
  Tensor heat;  ///< [H, W]: the mean over the word's pieces
};
struct ExplainedText {
  Tensor heat;  ///< [H, W]: the mean over all ids of the text
  std::vector<ExplainedWord> words;
};

/// Whether the model can.
bool explains(const TextPipeline& pipeline);
/// Throws an Error that says what the model lacks.
void must_explain(const TextPipeline& pipeline);
/// One text for each picture of `batch`, cleaned as the family wants; layer: of grad_cam_of_words(). Maps of words are only made if `with_words`.
std::vector<ExplainedText> explain_texts(const TextPipeline& pipeline, const PictureBatch& batch, const std::vector<std::string>& texts, int64_t layer = -1,
                                         bool with_words = true);

}  // namespace vlm
