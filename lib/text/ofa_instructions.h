#pragma once
/// What OFA is told and what it answers, task by task (arXiv 2202.03052; specs: ofa, 5): the one place that spells these texts,
/// for training, inference and evaluation alike.
///
///   ofa_instruction::region_of("the man in red");   // ` which region does the text " the man in red " describe?`
///
/// Every text but a summary starts with a space, so that its first word carries the tokenizer's space marker. They are encoded as
/// they are; bos and eos, and the codes and bins of pictures, are added as ids by who encodes them. What users and files write
/// is cleaned here as the task cleans it (text/caption_cleaning.h); `max_words` keeps the first words, 0 all of them.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vlm::ofa_instruction {

/// Also what classification of pictures asks; its answers are the names of the classes.
std::string caption();
/// ` {question}?`: the mark is added unless it is there. Pretraining asks without one (`mark` false).
std::string question(std::string_view question, int64_t max_words = 128, bool mark = true);
/// ` object: {first 30 of these}`, encoded by itself and put behind a question. `field`: names joined by "&&".
std::string objects(std::string_view field, size_t max_objects = 30);
/// SNLI-VE; with a premise (`caption`) unless it is empty.
std::string entailment(std::string_view hypothesis, std::string_view caption = "", int64_t max_words = 80);
/// RefCOCO: answered by four bins.
std::string region_of(std::string_view text, int64_t max_words = 80);
/// Pretraining's grounded captioning; the four bins of the box come behind it. Two spaces, as the released models learnt it.
std::string describe_region();
/// Whether a caption fits: ` yes` or ` no`.
std::string match(std::string_view caption, int64_t max_words = 80);
/// Whether an answer fits a question, the same way. `question` as question() takes it, without a mark of its own.
std::string match_answer(std::string_view question, std::string_view answer, int64_t max_words = 80);
/// Answered by codes.
std::string picture_of(std::string_view caption, int64_t max_words = 64);
/// Answered by the codes of the middle, which is black in the picture.
std::string middle_of_picture();
/// Answered by four bins and ` {name}` for each object.
std::string detection();
/// Text infilling: the ids of a text with masks go before the last two ids of this one.
std::string infill();
/// Gigaword.
std::string summary(std::string_view article, int64_t max_words = 80);

/// ` {text}`: what is learnt of an answer, a class's name or any other text, as it is.
std::string answer(std::string_view text);
/// ` {caption}` in pretraining.
std::string pretraining_caption(std::string_view caption, int64_t max_words = 30);
/// ` {caption}` in fine-tuning: without ASCII punctuation, case as it is.
std::string target_caption(std::string_view caption, int64_t max_words = 20);
/// Gigaword's target, without a leading space.
std::string target_summary(std::string_view summary, int64_t max_words = 80);
std::string yes_or_no(bool yes);
/// ` no`, ` maybe`, ` yes` by the number of an entailment (contradiction 0, neutral 1, entailment 2; data/reasoning_lists.h).
const std::vector<std::string>& entailment_answers();

/// A task of GLUE: sentences, and answers that are one id each and are not followed by eos.
struct GlueTask {
  const char* name;
  const char* instruction;           ///< {1} and {2}: the sentences in the order of the file's columns
  std::vector<std::string> answers;  ///< by the label's number
  std::vector<std::string> labels;   ///< the labels' names where files have these
  bool pair() const { return std::string_view(instruction).find("{2}") != std::string_view::npos; }
  /// Lower case, the first words of each. Throws where a sentence is missing.
  std::string instruct(std::string_view first, std::string_view second = "", int64_t max_words = 512) const;
  /// By number or name; none for any other text.
  std::optional<size_t> label(std::string_view text) const;
};

/// cola, mnli, rte, mrpc, qnli, qqp, sst2. Throws a usage error that lists them for another name.
const GlueTask& glue_task(const std::string& name);

/// How a decoder begins in front of an answer.
enum class Prompt {
  none,         ///< bos alone
  source,       ///< the instruction with bos and eos ("src"): GLUE
  prev_output,  ///< the instruction with bos, without eos: released models for VQA and SNLI-VE
};
/// none, src or prev_output; throws a usage error for another name.
Prompt prompt_named(const std::string& name);

}  // namespace vlm::ofa_instruction
