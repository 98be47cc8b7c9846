#pragma once
/// Models that write text: encode once, then decode token by token with a cache. infer/generate.h searches over them.

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "vlm/models/interfaces.h"

namespace vlm {

/// What a decoder has seen so far, for a number of rows (hypotheses) that lie picture by picture.
class DecoderState {
 public:
  virtual ~DecoderState() = default;
  /// Feeds n more tokens to every row. ids: [R, n], int64; mask: [R, n], 0 where an id is padding (undefined: none is).
  /// Returns the logits after the last one, [R, V], float32.
  virtual Tensor step(const Tensor& ids, const Tensor& mask = {}) = 0;
  /// Row i goes on from what was row rows[i]. rows: [R'], int64. Rows of a picture stay together and are equally many for
  /// every picture.
  virtual void select(const Tensor& rows) = 0;
};

/// The ids that a search needs to know.
struct GenerationTokens {
  int64_t begin = 0;       ///< what every text starts with
  int64_t end = 0;         ///< what ends it
  int64_t pad = 0;         ///< what fills rows that have ended
  int64_t max_length = 0;  ///< ids that a row can hold, begin included
};

class Generator {
 public:
  virtual ~Generator() = default;
  virtual GenerationTokens generation_tokens() const = 0;
};

/// Describes pictures.
class Captioner : public virtual Generator {
 public:
  /// pixels: [B, 3, H, W]. A state of B rows that have seen no token.
  virtual std::unique_ptr<DecoderState> begin_caption(const Tensor& pixels) = 0;
};

/// Answers questions about pictures.
class Answerer : public virtual Generator {
 public:
  /// pixels: [B, 3, H, W]; question: [B, L], int64; mask: [B, L], 0 for padding (undefined: none).
  virtual std::unique_ptr<DecoderState> begin_answer(const Tensor& pixels, const Tensor& question, const Tensor& mask) = 0;
};

/// Says whether a text fits a picture.
class Matcher {
 public:
  virtual ~Matcher() = default;
  /// pixels: [B, 3, H, W]; ids, mask: [B, L]. Returns the probability of a match for each pair, [B].
  virtual Tensor match(const Tensor& pixels, const Tensor& ids, const Tensor& mask) = 0;
};

/// What a command needs to know to prepare pictures and texts for a model of any kind.
class PictureModel {
 public:
  virtual ~PictureModel() = default;
  /// Height and width of the pictures that the model takes.
  virtual std::pair<int64_t, int64_t> picture_size() const = 0;
};

}  // namespace vlm
