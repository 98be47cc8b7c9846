#include "answer_flags.h"

#include <filesystem>

#include "vlm/core/error.h"
#include "vlm/data/answer_set.h"

namespace vlm::apps {

void AnswerFlags::add_to(CLI::App& command, const std::string& prompt) {
  command.add_option("--answers", answers, "File of the only answers that may come out: one a line, or a JSON list or object (*.json)");
  command.add_flag("--score-all", score_all, "OFA: compare the log-probabilities of all answers of --answers instead of searching among them");
  add_prompt_to(command, prompt);
}

void AnswerFlags::add_rank_to(CLI::App& command) {
  command.add_flag("--rank", rank, "ALBEF, mPLUG: rank the answers of --answers by likelihood, as these models are evaluated, in place of searching among them");
  command.add_option("--k-test", k_test, "With --rank: so many answers, those whose first words are the likeliest, are scored as a whole")->capture_default_str()->check(at_least_one);
}

int64_t AnswerFlags::ranked() const {
  if (rank && answers.empty()) fail_usage("--rank needs the answers that it ranks: --answers FILE");
  if (rank && score_all) fail_usage("--rank (ALBEF, mPLUG) and --score-all (OFA) exclude each other");
  return rank ? k_test : 0;
}

void AnswerFlags::add_prompt_to(CLI::App& command, const std::string& prompt) {
  prompt_type = prompt;
  command.add_option("--prompt-type", prompt_type,
                     "OFA: what the decoder is given before the answer: none, src (the instruction) or prev_output (without its end: models "
                     "fine-tuned for VQA and SNLI-VE as published)")
      ->capture_default_str()
      ->check(CLI::IsMember({"none", "src", "prev_output"}));
}

void AnswerFlags::apply(std::vector<std::string>& set, bool& all, ofa_instruction::Prompt& prompt) const {
  if (score_all && answers.empty()) fail_usage("--score-all needs the answers that it scores: --answers FILE");
  if (!answers.empty()) {
    std::error_code error;
    if (!std::filesystem::is_regular_file(answers, error)) fail_usage("--answers ", answers, ": there is no such file; it holds one answer a line, or a JSON list");
    set = read_answer_set(answers);
  }
  all = score_all;
  prompt = ofa_instruction::prompt_named(prompt_type);
}

}  // namespace vlm::apps
