#pragma once
/// Instructions and replies of a model that does what it is told, as texts (OFA, arXiv 2202.03052). infer/instruction_tasks.h says
/// what it can be told.
///
///   const InstructionPipeline& ofa = pipeline.instructions("ground texts");   // infer/text_pipeline.h
///   ofa.reply(pixels, {ofa.encode(" what does the image describe?")}, {})[0].text;

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "vlm/infer/candidate_scores.h"
#include "vlm/infer/generated_text.h"
#include "vlm/infer/sequence_search.h"
#include "vlm/models/generator.h"
#include "vlm/text/ofa_instructions.h"
#include "vlm/text/tokenizer.h"

namespace vlm {

struct ReplyOptions {
  SequenceSearchOptions search{};
  ofa_instruction::Prompt prompt = ofa_instruction::Prompt::none;  ///< what the decoder is given in front of the reply
  std::string begin{};               ///< a text that every reply begins with, behind the prompt; it is part of the reply
  std::vector<std::string> answers{};  ///< if any: only these may come out
  bool score_all = false;            ///< every answer is scored by its log-probability among the answers, and the best one wins
};

class InstructionPipeline {
 public:
  using Ids = std::vector<int64_t>;

  /// `frozen`: nobody changes the weights; they are laid out for speed from the second batch on.
  /// Throws an Error if the tokenizer is another model's.
  InstructionPipeline(std::shared_ptr<Model> model, std::shared_ptr<const Tokenizer> tokenizer, bool frozen = false);

  /// Ids of a text as it is, without begin and end. "<mask>" in it becomes the model's mask.
  Ids encode(const std::string& text) const;
  /// Four or any other number of coordinates, and codes of pictures, as ids. Throws if the model has no such id.
  Ids bins(const std::vector<int64_t>& bins) const;
  /// The text of ids without specials; bins and codes are spelled, as "<bin_12>".
  std::string decode(const Ids& ids) const;

  /// begin, source, end for each, padded to the longest. pixels: [B, 3, H, W], or undefined for texts alone.
  /// Throws an Error that says how many ids fit if a source is too long.
  Instruction instruct(const Tensor& pixels, const std::vector<Ids>& sources) const;

  /// A reply to each source (ids without begin and end).
  std::vector<GeneratedText> reply(const Tensor& pixels, const std::vector<Ids>& sources, const ReplyOptions& options) const;
  /// Log-probability of each answer among `answers`, [B, A] float32: their exponentials are a row's probabilities.
  Tensor score(const Tensor& pixels, const std::vector<Ids>& sources, const std::vector<std::string>& answers,
               ofa_instruction::Prompt prompt = ofa_instruction::Prompt::none) const;

  const InstructionVocabulary& vocabulary() const { return vocabulary_; }

 private:
  std::shared_ptr<const EncodedInstruction> look(const Instruction& instruction) const;
  /// What the decoder is given, begin first.
  Ids prompt_of(const Ids& source, ofa_instruction::Prompt prompt) const;
  std::vector<Ids> encode_answers(const std::vector<std::string>& answers) const;

  std::shared_ptr<Model> model_;
  Instructed* instructed_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  GenerationTokens tokens_;
  InstructionVocabulary vocabulary_;
  bool frozen_;
  mutable int batches_ = 0;
};

}  // namespace vlm
