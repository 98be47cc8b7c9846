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
  /// Goes on with these pictures alone, and all of their rows: numbers of pictures in ascending order, [B'], int64. False, and
  /// nothing is changed, where a decoder cannot do that: the rows of the others must then be fed on.
  virtual bool keep_pictures(const Tensor& pictures) {
    (void)pictures;
    return false;
  }
};

/// The ids that a search needs to know.
struct GenerationTokens {
  int64_t begin = 0;       ///< what every text starts with
  int64_t end = 0;         ///< what ends it
  int64_t pad = 0;         ///< what fills rows that have ended
  int64_t max_length = 0;  ///< ids that a row can hold, begin included
};

/// How a family spells questions and answers, and what it is taught them with.
struct AnswerWording {
  std::string questions = "none";  ///< what is done to questions: the name of rules of text/caption_cleaning.h
  int64_t ends = 1;                ///< ends behind an answer that is taught or ranked
  double label_smoothing = 0.1;    ///< as published
};

class Generator {
 public:
  virtual ~Generator() = default;
  virtual GenerationTokens generation_tokens() const = 0;
  virtual AnswerWording answer_wording() const { return {}; }
};

/// How a model's texts are searched for unless something else is asked for (infer/generate.h).
struct UsualSearch {
  std::string rules = "transformers";  ///< GenerateOptions::rules
  int64_t beams = 3;
  int64_t min_new_tokens = 0, max_new_tokens = 30;
  double length_penalty = 1;
};

/// Describes pictures.
class Captioner : public virtual Generator {
 public:
  virtual UsualSearch usual_caption_search() const { return {}; }
  /// pixels: [B, 3, H, W]. A state of B rows that have seen no token.
  virtual std::unique_ptr<DecoderState> begin_caption(const Tensor& pixels) = 0;
};

/// Answers questions about pictures.
class Answerer : public virtual Generator {
 public:
  virtual UsualSearch usual_answer_search() const { return {.max_new_tokens = 10}; }
  /// pixels: [B, 3, H, W]; question: [B, L], int64; mask: [B, L], 0 for padding (undefined: none).
  virtual std::unique_ptr<DecoderState> begin_answer(const Tensor& pixels, const Tensor& question, const Tensor& mask) = 0;
};

/// Where in pictures something is.
struct GroundedShares {
  Tensor boxes;   ///< [B, 4]: centre x and y, width and height, as shares of what the model sees
  Tensor scores;  ///< [B]: log-probabilities
};

/// Finds what a text speaks of.
class Grounder {
 public:
  virtual ~Grounder() = default;
  /// A box for each pair. pixels: [B, 3, H, W]; ids, mask: [B, L].
  virtual GroundedShares ground(const Tensor& pixels, const Tensor& ids, const Tensor& mask) = 0;
  /// Ids in a row of `ids`, specials included.
  virtual int64_t expression_length() const = 0;
};

/// Says whether a text fits a picture.
class Matcher {
 public:
  virtual ~Matcher() = default;
  /// pixels: [B, 3, H, W]; ids, mask: [B, L]. Returns the probability of a match for each pair, [B].
  virtual Tensor match(const Tensor& pixels, const Tensor& ids, const Tensor& mask) = 0;
};

/// What a model is told to do: a text, and the picture that it is about (OFA, arXiv 2202.03052).
struct Instruction {
  Tensor ids;           ///< [B, S], int64: begin, text, end, then padding
  Tensor pixels;        ///< [B, 3, H, W]; undefined: texts alone
  Tensor picture_mask;  ///< [B], false (or 0) where a row has no picture to look at; undefined: all have
  Tensor code_mask;     ///< [B], true (or 1) where what is written are the codes of a picture; undefined: text everywhere
  int64_t sample_patches = 0;  ///< training: so many patches of each picture are looked at, drawn at random; 0: all
  Tensor patch_orders;         ///< [B, k], int64: these patches in this order, in place of a draw
};

/// What an encoder made of some instructions; belongs to the model that made it.
class EncodedInstruction {
 public:
  virtual ~EncodedInstruction() = default;
  virtual int64_t rows() const = 0;  ///< B
};

/// Ids beyond those of texts.
struct InstructionVocabulary {
  int64_t size = 0;                         ///< V
  int64_t unknown = -1, mask = -1;          ///< -1: there is none
  int64_t first_code = 0, codes = 0;        ///< discrete codes of pictures
  int64_t first_bin = 0, bins = 0;          ///< coordinates
};

/// Does what it is told, in text, boxes or codes. Works in training as in evaluation, with gradients where they are recorded.
class Instructed : public virtual Generator {
 public:
  virtual InstructionVocabulary instruction_vocabulary() const = 0;
  virtual std::shared_ptr<const EncodedInstruction> encode_instruction(const Instruction& instruction) = 0;
  /// A state of B rows that have seen no token. Holds on to `encoded`.
  virtual std::unique_ptr<DecoderState> begin_reply(std::shared_ptr<const EncodedInstruction> encoded) = 0;
  /// All positions at once. previous: [R, T], int64, what stands before each position, R = B K rows that lie instruction by
  /// instruction. Returns logits [R, T, V].
  virtual Tensor reply_logits(const EncodedInstruction& encoded, const Tensor& previous) = 0;
};

/// What a command needs to know to prepare pictures and texts for a model of any kind.
class PictureModel {
 public:
  virtual ~PictureModel() = default;
  /// Height and width of the pictures that the model takes.
  virtual std::pair<int64_t, int64_t> picture_size() const = 0;
  /// False where that is a guess because the model's files do not say it.
  virtual bool picture_size_known() const { return true; }
  /// Sides that are multiples of this are taken as well; 0: pictures have to be of picture_size().
  virtual int64_t picture_step() const { return 0; }
};

}  // namespace vlm
