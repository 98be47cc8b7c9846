#pragma once
/// The flags of commands that answer, out of a closed set or not.

#include <string>

#include "command.h"
#include "vlm/infer/text_pipeline.h"

namespace vlm::apps {

struct AnswerFlags {
  std::string answers, prompt_type = "none";
  bool score_all = false;

  /// `prompt`: the default of --prompt-type.
  void add_to(CLI::App& command, const std::string& prompt = "none");
  /// --prompt-type alone.
  void add_prompt_to(CLI::App& command, const std::string& prompt);
  /// Reads the set of answers. Throws a usage error for flags that contradict each other.
  void apply(std::vector<std::string>& set, bool& all, ofa_instruction::Prompt& prompt) const;
};

}  // namespace vlm::apps
