#pragma once
/// A model folder ready to write about pictures: captions, answers, and whether a text fits.
///
///   TextPipeline blip = TextPipeline::load("blip-base");
///   PictureBatch pictures = blip.decode({"cat.jpg"});
///   blip.caption(pictures.pixels)[0].text;                                  // "a cat on a sofa"

#include <memory>
#include <string>
#include <vector>

#include "vlm/infer/generate.h"
#include "vlm/infer/pipeline.h"

namespace vlm {

struct CaptionOptions {
  GenerateOptions generate = GenerateOptions::beam(3, 30);
  std::string prompt;               ///< what every caption begins with
  bool legacy_coca = false;         ///< open_clip 3.x's own search, for CoCa
};

struct AnswerOptions {
  GenerateOptions generate = GenerateOptions::beam(3, 10);
  std::vector<std::string> answers;  ///< if any: only these may come out
  bool enc_token = false;            ///< BLIP: the question opens with [ENC] as in the original code, not with [CLS] as in HF's
};

struct GeneratedText {
  std::string text;
  std::vector<int64_t> ids;  ///< without start, end and padding
  double score = 0;          ///< see Generated::scores
};

class TextPipeline {
 public:
  /// Throws an Error that names what is missing.
  static TextPipeline load(const std::filesystem::path& folder, const PipelineOptions& options = {});
  /// tokenizer may be null for those who work on ids.
  TextPipeline(std::shared_ptr<Model> model, std::shared_ptr<const Tokenizer> tokenizer, const PreprocessOptions& preprocess,
               const PipelineOptions& options = {});

  /// A stream of batches in the form that the model takes.
  PictureStream stream(ReadPicture read, PictureFailed failed) const;
  /// Files as one batch. A picture that cannot be decoded is an Error that names it.
  PictureBatch decode(const std::vector<std::filesystem::path>& files) const;

  /// pixels: [B, 3, H, W]. Throws if the model cannot caption.
  std::vector<GeneratedText> caption(const Tensor& pixels, const CaptionOptions& options = {}) const;
  /// One question for each picture. Throws if the model cannot answer.
  std::vector<GeneratedText> answer(const Tensor& pixels, const std::vector<std::string>& questions, const AnswerOptions& options = {}) const;
  /// The probability that each text fits its picture. Throws if the model has no matching head.
  std::vector<double> match(const Tensor& pixels, const std::vector<std::string>& texts) const;

  /// Unit vectors [N, E] of texts. Throws if the model has no two towers.
  Tensor embed_texts(const std::vector<std::string>& texts) const;

  Model& model() const { return *model_; }
  const Tokenizer& tokenizer() const;

 private:
  /// Rows [B, L] with their specials, and a mask of what is no padding.
  std::pair<Tensor, Tensor> encode(const std::vector<std::string>& texts) const;
  std::vector<GeneratedText> texts_of(const Tensor& ids, const std::vector<double>& scores, const GenerationTokens& tokens) const;

  /// Lays the weights out from the second batch on: one batch does not pay for it.
  void count_batch() const;

  std::shared_ptr<Model> model_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::pair<int64_t, int64_t> size_;
  Preprocess preprocess_;
  PipelineOptions options_;
  bool frozen_ = false;             ///< loaded from files: nobody changes the weights
  mutable int batches_ = 0;
};

}  // namespace vlm
