#pragma once
/// A model folder ready to write about pictures: captions, answers, and whether a text fits.
///
///   TextPipeline blip = TextPipeline::load("blip-base");
///   PictureBatch pictures = blip.decode({"cat.jpg"});
///   blip.caption(pictures.pixels)[0].text;                                  // "a cat on a sofa"

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "vlm/infer/generate.h"
#include "vlm/infer/generated_text.h"
#include "vlm/infer/instruction_pipeline.h"
#include "vlm/infer/pipeline.h"
#include "vlm/infer/text_ids.h"

namespace vlm {

struct CaptionOptions {
  std::optional<GenerateOptions> generate;  ///< none: TextPipeline::caption_search()
  std::string prompt;               ///< what every caption begins with
  bool legacy_coca = false;         ///< open_clip 3.x's own search, for CoCa
};

struct AnswerOptions {
  std::optional<GenerateOptions> generate;  ///< none: TextPipeline::answer_search()
  std::vector<std::string> answers;  ///< if any: only these may come out
  int64_t rank = 0;                 ///< more than 0: whole `answers` are ranked by likelihood, those so many whose first words are the likeliest
  bool enc_token = false;            ///< BLIP: the question opens with [ENC] as in the original code, not with [CLS] as in HF's
  // ---  models that take instructions:
  bool score_all = false;            ///< all `answers` are scored instead of searched
  ofa_instruction::Prompt prompt = ofa_instruction::Prompt::none;  ///< what stands in front of the answer
  std::vector<std::string> objects;  ///< what else is known of each picture: names joined by "&&"; empty: nothing
};

class TextPipeline {
 public:
  /// Throws an Error that names what is missing.
  static TextPipeline load(const std::filesystem::path& folder, const PipelineOptions& options = {});
  /// Of what load_parts() brought.
  static TextPipeline of(ModelParts parts, const PipelineOptions& options = {});
  /// tokenizer may be null for those who work on ids.
  TextPipeline(std::shared_ptr<Model> model, std::shared_ptr<const Tokenizer> tokenizer, const PreprocessOptions& preprocess,
               const PipelineOptions& options = {})
      : TextPipeline(std::move(model), std::move(tokenizer), preprocess, options, false) {}

  /// A stream of batches in the form that the model takes.
  PictureStream stream(ReadPicture read, PictureFailed failed) const;
  /// Files as one batch. A picture that cannot be decoded is an Error that names it.
  PictureBatch decode(const std::vector<std::filesystem::path>& files) const;

  /// `frames` frames of a video, a file or a folder of pictures (data/video.h), as the model takes them in place of a picture:
  /// [1, frames, 3, H, W]. Throws if the model looks at pictures only.
  Tensor decode_video(const std::filesystem::path& video, int64_t frames) const;

  /// Throw an Error that says what the model lacks.
  void must_rank() const;
  void must_caption() const;
  void must_answer() const;
  /// How captions and answers of this model are searched for unless something else is asked for: 3 beams, or as the model
  /// says; for models that take instructions as published (infer/instruction_tasks.h).
  GenerateOptions caption_search() const;
  GenerateOptions answer_search() const;

  /// pixels: [B, 3, H, W], or of decode_video(). Throws if the model cannot caption.
  std::vector<GeneratedText> caption(const Tensor& pixels, const CaptionOptions& options = {}) const;
  /// One question for each picture, cleaned as the family wants (of at most 50 words). Throws if the model cannot answer. The score of an
  /// answer that was ranked is its probability among those that were.
  std::vector<GeneratedText> answer(const Tensor& pixels, const std::vector<std::string>& questions, const AnswerOptions& options = {}) const;
  /// Whether match() can say something.
  bool matches() const;
  /// The probability that each text fits its picture. Throws if the model has no matching head.
  std::vector<double> match(const Tensor& pixels, const std::vector<std::string>& texts) const;

  /// Unit vectors [N, E] of texts. Throws if the model has no two towers.
  Tensor embed_texts(const std::vector<std::string>& texts) const;

  /// What a model that takes instructions is told; infer/instruction_tasks.h has the tasks. Throws for another model:
  /// "this blip model cannot ground texts: it takes no instructions".
  const InstructionPipeline& instructions(const std::string& task) const;
  bool takes_instructions() const { return instructions_ != nullptr; }

  Model& model() const { return *model_; }
  const Tokenizer& tokenizer() const;

 private:
  TextPipeline(std::shared_ptr<Model> model, std::shared_ptr<const Tokenizer> tokenizer, const PreprocessOptions& preprocess,
               const PipelineOptions& options, bool frozen);

  TextRows encode(const std::vector<std::string>& texts) const { return special_rows(tokenizer(), texts, 512); }
  std::vector<GeneratedText> ranked_answers(const Tensor& pixels, const TextRows& questions, const AnswerOptions& options, int64_t ends) const;
  /// past_end: what stands behind an end is text, too (mPLUG's search).
  std::vector<GeneratedText> texts_of(const Tensor& ids, const std::vector<double>& scores, const GenerationTokens& tokens, bool past_end = false) const;

  /// Lays the weights out from the second batch on: one batch does not pay for it.
  void count_batch() const;

  std::shared_ptr<Model> model_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::shared_ptr<const InstructionPipeline> instructions_;  ///< none: the model takes no instructions
  std::pair<int64_t, int64_t> size_;
  Preprocess preprocess_;
  PipelineOptions options_;
  bool frozen_ = false;             ///< loaded from files: nobody changes the weights
  mutable int batches_ = 0;
};

}  // namespace vlm
