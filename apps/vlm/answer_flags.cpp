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
