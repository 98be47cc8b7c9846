#pragma once
/// The flags of commands that answer, out of a closed set or not.

#include <string>

#include "command.h"
#include "vlm/infer/text_pipeline.h"

namespace vlm::apps {

struct AnswerFlags {
  std::string answers, prompt_type = "none";
  bool score_all = false, rank = false;
  int64_t k_test = 128;

  /// `prompt`: the default of --prompt-type.
  void add_to(CLI::App& command, const std::string& prompt = "none");
  /// --rank and --k-test.
  void add_rank_to(CLI::App& command);
  /// --prompt-type alone.
  void add_prompt_to(CLI::App& command, const std::string& prompt);
  /// AnswerOptions::rank. Throws a usage error if there are no answers to rank.
  int64_t ranked() const;
  /// Reads the set of answers. Throws a usage error for flags that contradict each other.
  void apply(std::vector<std::string>& set, bool& all, ofa_instruction::Prompt& prompt) const;
};

}  // namespace vlm::apps
